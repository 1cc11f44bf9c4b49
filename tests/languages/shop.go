// Package shop sells things.
package shop

import (
	"fmt"
	str "strings"

	"example.com/store/v2"
)

// Limit is how many lines an order may have. No more.
const Limit = 10

const (
	first = iota
	second
)

var cache, spare = map[string]int{}, 3

// Order is what a customer bought.
type Order struct {
	Base
	Store *store.Store
	lines []Line
}

type Shop interface {
	Open(hour int) error
}

type Price = int

// Total sums the lines.
func (o *Order) Total(currency string) (int, error) {
	s := store.New()
	fmt.Println(str.ToUpper(currency), s)
	return 0, nil
}

func (l List[T]) Len() int { return 0 }

func Load(path string) *Order {
	local := &Order{}
	return local
}
