/* SPDX-License-Identifier: BSD-2-Clause */
/* The signals of a worker, and the orders that they mean. */
#pragma once

/* Blocks the signals in this thread and in the threads that it creates, until signals_wait(). */
void signals_init(void);

/* Waits for a signal and returns its number. */
int signals_wait(void);

/* The order (ORDER_* of lane.h) that a signal means. */
unsigned signals_order(int signal);
