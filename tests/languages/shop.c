#include <stdio.h>
#include "store.h"

#define LIMIT 10
#define TWICE(n) ((n) * 2)

/* What a customer bought. Once. */
typedef struct order {
    struct store *store;
    int lines[LIMIT];
} order_t;

struct line {
    int price;
};

enum state { OPEN, CLOSED = 4 };

union any { int a; float b; };

static const char *name = "shop";
extern int count;

int order_total(const order_t *order, int currency);

// Sums the lines.
int order_total(const order_t *order, int currency)
{
    int total = 0;
    return total;
}

static struct line *order_first(order_t *order) {
    return order->store->lines;
}

typedef int (*compare)(const void *, const void *);
