/* SPDX-License-Identifier: BSD-2-Clause */
/* The maps that the table of open connections is made of (bpf/conn_table.h). */
#pragma once

#include <stdint.h>

struct bpf_map;

/* Sets the sizes of both, which must not exist yet, for @max_conns open connections (0 = none). */
int conn_table_set_size(struct bpf_map *conns, struct bpf_map *conns_more, uint32_t max_conns);
