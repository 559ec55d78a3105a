/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The iterator over the open descriptors of all processes (holder.bpf.c). Needs BTF and
 * CAP_PERFMON. The kernel, 7.x included, shows a task and a file only while it has a reference to
 * both (task_file_seq_get_next()), and takes no lock that a process can keep.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/listener.h"

/* Loads the iterator for these listeners. Returns a link for bpf_iter_create(), or a negative
 * errno. */
int holder_iterator_open(const struct listener *listeners, size_t n);

/* Reads the processes that have one of the listeners open from @fd, which bpf_iter_create() has
 * returned: sorted, each once. The caller frees *ret. Returns 0 or a negative errno. */
int holder_iterator_read(int fd, uint32_t **ret, size_t *ret_n);
