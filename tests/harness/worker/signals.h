/* SPDX-License-Identifier: BSD-2-Clause */
/* The signals that a worker takes, and the orders that they stand for. */
#pragma once

/* Blocks them, for this thread and those that it makes, until signals_wait(). */
void signals_init(void);

int signals_wait(void);

/* ORDER_* of lane.h. */
unsigned signals_order(int signal);
