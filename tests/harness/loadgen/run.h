/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop: begins connections when they are due, expires them, and ends on a signal, at the
 * end of the duration, or when all connections have finished.
 */
#pragma once

#include "connection.h"

/* Runs the load. Ends the program if epoll fails. */
void run_to_end(struct connections *connections);
