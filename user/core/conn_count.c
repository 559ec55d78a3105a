/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/conn_count.h"

uint64_t conn_count_still_open(const struct conn_count *count)
{
	uint64_t begun = count->of[RPD_CONN_opened] + count->of[RPD_CONN_found] +
	                 count->of[RPD_CONN_moved_in];
	uint64_t ended = count->of[RPD_CONN_closed] + count->of[RPD_CONN_moved_out];

	return begun > ended ? begun - ended : 0;
}
