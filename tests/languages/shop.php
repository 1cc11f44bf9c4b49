<?php

namespace Example\Shop;

use Example\Store\Store;
use Example\Log\{Logger, Level as L};
use function Example\twice;
require_once 'helpers.php';

const LIMIT = 10;
define('NAME', 'shop');

/**
 * What a customer bought. Once.
 */
abstract class Order extends Base implements Named, Closeable
{
    use Countable;

    const MAX = 5;
    private Store $store;
    public static int $count = 0;

    public function __construct(Store $store, private Logger $log)
    {
        $this->store = $store;
    }

    public function total(string $currency): int
    {
        $line = new Line($currency);
        return $line->price();
    }

    abstract protected function close(): void;
}

interface Named
{
    public function name(): string;
}

trait Counts
{
    public function count() {}
}

enum State: string
{
    case Open = 'open';
}

function load(string $path): Order
{
    return new Order($path);
}
