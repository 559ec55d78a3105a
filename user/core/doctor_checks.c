/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/doctor_checks.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"

static const char *const verdict_names[] = {
        [CHECK_OK] = "ok",
        [CHECK_NOTE] = "note",
        [CHECK_WARN] = "warn",
        [CHECK_FAIL] = "fail",
};
_Static_assert(ARRAY_SIZE(verdict_names) == CHECK_MAX, "a name for each verdict");

const char *doctor_checks_verdict_name(enum verdict verdict)
{
	return verdict_names[verdict];
}

static int doctor_checks_reserve_row(struct doctor_checks *checks)
{
	size_t allocated = checks->allocated ? 2 * checks->allocated : 32;
	struct check *rows;

	if (checks->n < checks->allocated)
		return 0;
	rows = reallocarray(checks->rows, allocated, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	checks->rows = rows;
	checks->allocated = allocated;
	return 0;
}

int doctor_checks_add(struct doctor_checks *checks, enum verdict verdict, const char *name,
                      const char *advice, const char *format, ...)
{
	struct check *check;
	va_list args;
	int r;

	r = doctor_checks_reserve_row(checks);
	if (r < 0)
		return r;
	check = &checks->rows[checks->n++];
	check->verdict = verdict;
	snprintf(check->name, sizeof(check->name), "%s", name);
	snprintf(check->advice, sizeof(check->advice), "%s", advice ? advice : "");
	va_start(args, format);
	vsnprintf(check->detail, sizeof(check->detail), format, args);
	va_end(args);
	return 0;
}

enum verdict doctor_checks_worst(const struct doctor_checks *checks)
{
	enum verdict worst = CHECK_OK;

	for (size_t i = 0; i < checks->n; i++)
		if (checks->rows[i].verdict > worst)
			worst = checks->rows[i].verdict;
	return worst;
}

void doctor_checks_free(struct doctor_checks *checks)
{
	free(checks->rows);
	*checks = (struct doctor_checks){};
}
