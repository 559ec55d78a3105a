/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/verdict_signal.h"

static const struct verdict_signal_row verdict_signal_rows[VERDICT_SIGNAL_MAX] = {
        [VERDICT_CHECK] = {"check", "failed checks", "checks", .immediate = true},
        [VERDICT_RESETS] = {"resets", "reset connections", "connections", .error = true},
        [VERDICT_UNANSWERED] = {"unanswered", "requests without a response", "requests",
                                .error = true, .http = true},
        [VERDICT_HTTP_5XX] = {"http-5xx", "responses 5xx", "responses", .error = true,
                              .http = true},
        [VERDICT_SLOW_P50] = {"slow-p50", "responses slower than p50", "responses", .time = true,
                              .http = true},
        [VERDICT_SLOW_P90] = {"slow-p90", "responses slower than p90", "responses", .time = true,
                              .http = true},
        [VERDICT_SLOW_P99] = {"slow-p99", "responses slower than p99", "responses", .time = true,
                              .http = true},
};

const struct verdict_signal_row *verdict_signal(enum verdict_signal signal)
{
	return &verdict_signal_rows[signal];
}

unsigned int verdict_signal_count(bool only_errors, bool http)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < VERDICT_SIGNAL_MAX; i++) {
		const struct verdict_signal_row *row = &verdict_signal_rows[i];

		n += !row->immediate && (row->error || !only_errors) && (http || !row->http);
	}
	return n;
}
