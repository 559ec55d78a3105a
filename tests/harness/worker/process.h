/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A serving process: its main thread starts the lanes, then waits for signals and passes them to
 * the lanes as orders.
 */
#pragma once

#include "rows.h"

/*
 * Serves lanes @first to @first + @n - 1 until SIGTERM. Calls @announce with @data when all of them
 * poll. Returns an exit status.
 */
int process_serve(struct rows *rows, unsigned first, unsigned n,
                  void (*announce)(const struct rows *rows, void *data), void *data);

/* For process_serve(): prints "ready PID PORT". */
void process_print_ready(const struct rows *rows, void *unused);
