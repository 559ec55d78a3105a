/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that serves: its main thread makes lanes, then only waits for signals and passes them
 * to its lanes as orders.
 */
#pragma once

#include "rows.h"

/*
 * Serves lanes @first .. @first + @n - 1 until SIGTERM; @announce is called when all of them poll.
 * Returns an exit status.
 */
int process_serve(struct rows *rows, unsigned first, unsigned n,
                  void (*announce)(const struct rows *rows, void *data), void *data);

/* An announcement: prints "ready PID PORT". */
void process_print_ready(const struct rows *rows, void *unused);
