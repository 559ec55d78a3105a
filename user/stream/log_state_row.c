/* SPDX-License-Identifier: BSD-2-Clause */
#include "stream/log_state_row.h"

#include <string.h>

bool log_state_row_get(const struct log_state *state, size_t at, struct log_state_row *ret)
{
	if (state->n - at < sizeof(*ret))
		return false;
	memcpy(ret, state->text + at, sizeof(*ret));
	return ret->length <= state->n - at - sizeof(*ret);
}

bool log_state_row_goes_on(const struct log_state_row *row, dev_t dev, ino_t ino)
{
	return row->dev == dev && row->ino == ino && row->started < row->length;
}

bool log_state_row_has_begun(const struct log_state *state, dev_t dev, ino_t ino)
{
	struct log_state_row row;

	for (size_t at = 0; log_state_row_get(state, at, &row); at += sizeof(row) + row.length)
		if (row.slot != LOG_STATE_RESTORED && row.started &&
		    log_state_row_goes_on(&row, dev, ino))
			return true;
	return false;
}
