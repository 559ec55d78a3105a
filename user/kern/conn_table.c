/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/conn_table.h"

#include <bpf/libbpf.h>

#include <reuseportd/abi.h>

/* The buckets have room for all connections, and so has the map that takes what does not fit into a
 * bucket: there is room for all, whatever their buckets. The number of buckets is a power of two.
 */
int conn_table_set_size(struct bpf_map *conns, struct bpf_map *conns_more, uint32_t max_conns)
{
	uint32_t buckets = 1;
	int r;

	while (buckets * RPD_CONN_WAYS < max_conns)
		buckets *= 2;
	r = bpf_map__set_max_entries(conns, buckets);
	return r < 0 ? r : bpf_map__set_max_entries(conns_more, max_conns ? max_conns : 1);
}
