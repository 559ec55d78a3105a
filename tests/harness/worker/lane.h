/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lane serves one row of listeners: a thread with its own epoll instance, or with a blocking
 * accept(). Another thread gives it orders, as bits.
 */
#pragma once

#include "options.h"

#define ORDER_ACCEPT    0x1u /* start to accept */
#define ORDER_CLOSE     0x2u /* close the listeners and continue with open connections */
#define ORDER_TERMINATE 0x4u /* close the listeners, finish the open connections, end */
#define ORDER_HANG      0x8u /* do nothing for options.hang_ms */

struct lane;

/*
 * Starts lane @number on the listeners of @row, one for each address. When the lane closes a
 * listener it sets it to -1. Once this returns, the lane polls. Ends the program on failure.
 */
struct lane *lane_start(const struct options *options, unsigned number, int *row);

/* Gives an order. With a blocking accept(), returns when the order has been obeyed. */
void lane_order(struct lane *lane, unsigned order);

/* After ORDER_TERMINATE: waits until the lane has ended, and frees it. */
void lane_join(struct lane *lane);
