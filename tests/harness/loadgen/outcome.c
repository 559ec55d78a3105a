/* SPDX-License-Identifier: BSD-2-Clause */
#include "outcome.h"

#include <errno.h>

#include "base/cleanup.h"

#define OUTCOME_NAME(symbol, name) [OUTCOME_##symbol] = (name),
static const char *const names[] = {OUTCOMES(OUTCOME_NAME)};
_Static_assert(ARRAY_SIZE(names) == OUTCOME_MAX, "each outcome has a name");

const char *outcome_name(enum outcome outcome)
{
	return names[outcome];
}

enum outcome outcome_of_errno(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return OUTCOME_REFUSED;
	case ECONNRESET:
	case EPIPE:
		return OUTCOME_RESET;
	case ETIMEDOUT:
		return OUTCOME_TIMEOUT;
	default:
		return OUTCOME_LOCAL_ERROR;
	}
}
