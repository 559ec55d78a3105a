/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lane is what serves a row: a thread with an epoll instance (or a blocking accept()) of its own.
 * Another thread gives it orders, as bits.
 */
#pragma once

#include "options.h"

#define ORDER_ACCEPT    0x1u /* begin to accept */
#define ORDER_CLOSE     0x2u /* close the listeners and go on */
#define ORDER_TERMINATE 0x4u /* close the listeners, finish what is open, end */

struct lane;

/*
 * Starts lane @number on the listeners @row, one for each address; when they are closed they
 * become -1. From here on the lane polls. Ends the program on failure.
 */
struct lane *lane_start(const struct options *options, unsigned number, int *row);

/* With a blocking accept(): returns when the order was obeyed. */
void lane_order(struct lane *lane, unsigned order);

/* After ORDER_TERMINATE: waits for its end and frees it. */
void lane_join(struct lane *lane);
