/* SPDX-License-Identifier: BSD-2-Clause */
/* The maps of the table of open connections (bpf/conn_table.h). */
#pragma once

#include <stdint.h>

struct bpf_map;

/* Sets the sizes of both maps, before they are made, for @max_conns open connections (0 = none).
 * Returns 0 or a negative errno. */
int conn_table_set_size(struct bpf_map *conns, struct bpf_map *conns_more, uint32_t max_conns);
