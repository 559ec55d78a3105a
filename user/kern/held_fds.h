/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that a child opens (held_child.h), which may be held meanwhile. */
#pragma once

#include <stddef.h>

#include "kern/held_child.h"

#define HELD_FDS_MAX 128

/* By the child: sends 1 to HELD_FDS_MAX descriptors. Returns 0 or a negative errno. */
int held_fds_send(int socket, const int *fds, size_t n);

/* Runs @call in a child that has @socket open, a member of @data, for held_fds_send(). */
enum held_child_result held_fds_run(struct held_child_call *call, void *data, size_t size,
                                    int *socket, int *ret_ours);

/* After HELD_CHILD_DONE: receives the descriptors, close-on-exec, all or none, and closes @ours.
 * Returns 0 or a negative errno. */
int held_fds_receive(int ours, int *ret, size_t n);
