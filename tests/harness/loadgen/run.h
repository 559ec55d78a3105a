/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop: begins connections when they are due, lets them expire, and ends on a signal, at
 * the end of the duration, or when all are finished.
 */
#pragma once

#include "connection.h"

/* Ends the program if its events can't be waited for. */
void run_to_end(struct connections *connections);
