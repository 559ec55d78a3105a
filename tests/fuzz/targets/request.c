/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests on the control socket, of which nothing may reach the supervisor unchecked. */
#include <json-c/json.h>
#include <string.h>

#include "base/strv.h"
#include "core/request.h"
#include "core/schedule_version.h"
#include "fuzz.h"

static void check_slots(const struct slots *slots)
{
	FUZZ_CHECK(slots->n >= 1 && slots->n <= RPD_SLOT_MAX);
	for (size_t i = 0; i < slots->n; i++)
		FUZZ_CHECK(slots->at[i] < RPD_SLOT_MAX &&
		           (i == 0 || slots->at[i - 1] < slots->at[i]));
}

static void check_request(const struct request *request)
{
	const unsigned int fields = request->fields;

	FUZZ_CHECK(request->kind <= REQUEST_START);
	FUZZ_CHECK(!(fields & REQUEST_ARGV) == !request->argv);
	FUZZ_CHECK(!request->argv || *request->argv[0]);
	FUZZ_CHECK(!(fields & REQUEST_LABEL) == !request->label[0]);
	FUZZ_CHECK(!request->label[0] || schedule_version_is_label(request->label));
	FUZZ_CHECK(!(fields & REQUEST_BATCH) == !request->batch);
	FUZZ_CHECK(request->batch <= RPD_SLOT_MAX && request->workers <= RPD_SLOT_MAX);
	FUZZ_CHECK(!(fields & REQUEST_WORKERS) == !request->workers);
	FUZZ_CHECK(!(fields & REQUEST_SLOTS) == !request->slots.n);
	if (fields & REQUEST_SLOTS)
		check_slots(&request->slots);
}

static void run(const char *text, size_t size)
{
	struct request request;
	struct error err = {};
	const int r = request_parse(text, size, &request, &err);

	FUZZ_CHECK(r <= 0);
	if (r == 0)
		check_request(&request);
	else
		FUZZ_CHECK(err.text[0] && !request.argv && !request.fields);
	request_free(&request);
}

const struct fuzz_target fuzz_target = {run, 64};
