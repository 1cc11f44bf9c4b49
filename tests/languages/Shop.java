package com.example.shop;

import java.util.List;
import java.util.Map.Entry;
import com.example.store.*;
import static java.lang.Math.max;

/**
 * What a customer bought. Once.
 */
public class Shop<T> extends Base implements Named, Closeable {
    public static final int LIMIT = 10;
    private final Store store;

    public Shop(Store store) {
        this.store = store;
    }

    @Override
    public List<T> open(int hour, String name) throws IOException {
        Order order = new Order();
        return order.lines();
    }

    enum State {
        OPEN, CLOSED;
        boolean is() { return true; }
    }

    record Price(int amount, String currency) {}
}

interface Named {
    String name();
}

@interface Marked {
    int value();
}
