#include <vector>
#include "store.hpp"

using std::string;
using namespace shop::util;

namespace shop {

/// What a customer bought. Once.
class Order : public Base, private Named {
public:
    explicit Order(Store& store);
    ~Order();
    int total(const string& currency) const;
    virtual void close() = 0;
    int twice() { return 2; }
    Order operator+(const Order& other);

private:
    Store* store_;
    std::vector<int> lines;
};

template <typename T>
T largest(const std::vector<T>& values) {
    return values[0];
}

enum class State { Open, Closed };
using Price = int;

}  // namespace shop

shop::Order::Order(Store& store) : store_(&store) {}

int shop::Order::total(const string& currency) const {
    Line line(currency);
    return lines.size();
}

void Order::close() {}

static int count = 0;
