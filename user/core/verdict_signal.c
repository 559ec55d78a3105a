/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/verdict_signal.h"

static const struct verdict_signal_row verdict_signal_rows[VERDICT_SIGNAL_MAX] = {
        [VERDICT_ENDED] = {"ended", "workers that ended", .immediate = true},
        [VERDICT_UNHEALTHY] = {"unhealthy", "unhealthy workers", .immediate = true},
        [VERDICT_STALLED] = {"stalled", "stalled workers", .immediate = true},
        [VERDICT_CHECK] = {"check", "failed checks", .immediate = true},
        [VERDICT_RESETS] = {"resets", "reset connections", .error = true},
        [VERDICT_UNANSWERED] = {"unanswered", "connections closed without an answer",
                                .error = true},
        [VERDICT_HTTP_5XX] = {"http-5xx", "responses 5xx", .error = true, .http = true},
        [VERDICT_SLOW_P50] = {"slow-p50", "responses slower than p50", .http = true},
        [VERDICT_SLOW_P90] = {"slow-p90", "responses slower than p90", .http = true},
        [VERDICT_SLOW_P99] = {"slow-p99", "responses slower than p99", .http = true},
        [VERDICT_QUEUE_WAIT] = {"queue-wait", "connections that waited longer than p99"},
};

const struct verdict_signal_row *verdict_signal(enum verdict_signal signal)
{
	return &verdict_signal_rows[signal];
}

unsigned int verdict_signal_count(bool only_errors)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < VERDICT_SIGNAL_MAX; i++)
		n += only_errors ? verdict_signal_rows[i].error : !verdict_signal_rows[i].immediate;
	return n;
}
