/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The FIFOs that workers print into: out/SLOT-NUMBER.out and .err in the run directory.
 *
 * A worker has them open for reading, too, so that it gets no SIGPIPE. Each process opens them by
 * itself: flags such as O_NONBLOCK, which a worker may set on its descriptors, are not ours.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* Makes the FIFOs of a worker. @ret_theirs: for the worker; @ret_ours: for reading, without
 * waiting. The caller closes all. Returns 0, or a negative errno with @err set. */
int log_fifo_make(const char *run_dir, unsigned int slot, unsigned int number, int ret_theirs[2],
                  int ret_ours[2], struct error *err);

/* Opens the FIFOs of all workers for reading, and calls @each, which takes over the descriptors.
 * Removes all else from the folder. */
void log_fifo_list(const char *run_dir,
                   void (*each)(unsigned int slot, unsigned int number, const int fds[2],
                                void *data),
                   void *data);

/* Opens the deleted FIFOs that process @pid has open, and calls @each for each one. @each takes
 * over the descriptor. @stream: 0 or 1. */
void log_fifo_list_deleted(uint32_t pid,
                           void (*each)(unsigned int slot, unsigned int number, int stream, int fd,
                                        void *data),
                           void *data);

/* Makes two streams that have ended, in place of FIFOs. Returns 0 or a negative errno. */
int log_fifo_make_ended(int ret_fds[2]);
