package com.example.shop

import java.util.Date
import com.example.store.*
import com.example.log.Logger as Log

const val LIMIT = 10

/** What a customer bought. Once. */
data class Order(val store: Store, private val name: String = "x") : Base(name), Named {
    private val log = Log()
    var total: Int = 0

    override fun open(hour: Int): Boolean {
        val line = Line(hour)
        return line.isOpen()
    }

    companion object {
        fun load(path: String): Order = Order(Store(path))
    }
}

interface Named {
    fun name(): String
}

object Registry {
    val all = mutableListOf<Order>()
}

enum class State { OPEN, CLOSED }

fun <T> List<T>.second(): T = this[1]

suspend fun twice(n: Int): Int {
    return n * 2
}

typealias Price = Int
