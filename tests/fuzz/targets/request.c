/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests on the control socket: what is accepted is within its bounds. */
#include "core/request.h"

#include <string.h>

#include "base/strv.h"
#include "core/schedule_version.h"
#include "fuzz.h"

static void run(const char *text, size_t size)
{
	_cleanup_request_ struct request request;
	struct error err;

	if (request_parse(text, size, &request, &err) < 0) {
		FUZZ_CHECK(!request.argv && !request.settings && !request.fields && err.text[0]);
		return;
	}
	FUZZ_CHECK(!(request.fields & REQUEST_ARGV) == !request.argv);
	FUZZ_CHECK(!request.argv || (strv_length(request.argv) > 0 && *request.argv[0]));
	FUZZ_CHECK(!(request.fields & REQUEST_LABEL) || schedule_version_is_label(request.label));
	FUZZ_CHECK(!(request.fields & REQUEST_SETTINGS) == !request.settings);
	FUZZ_CHECK(!(request.fields & REQUEST_TO) || schedule_version_is_label(request.to));
	FUZZ_CHECK(strnlen(request.why, REQUEST_TEXT_MAX) < REQUEST_TEXT_MAX);
	FUZZ_CHECK(request.batch <= RPD_SLOT_MAX && request.workers <= RPD_SLOT_MAX);
	FUZZ_CHECK(request.slots.n <= RPD_SLOT_MAX);
	for (size_t i = 0; i < request.slots.n; i++)
		FUZZ_CHECK(request.slots.at[i] < RPD_SLOT_MAX &&
		           (i == 0 || request.slots.at[i] > request.slots.at[i - 1]));
}

const struct fuzz_target fuzz_target = {run, 64};
