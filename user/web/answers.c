/* SPDX-License-Identifier: BSD-2-Clause */
#include "web/answers.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

void answers_free_one(struct answer *answer)
{
	if (answer->response)
		http.destroy_response(answer->response); /* as soon as it has been sent */
	json_object_put(answer->events);
	*answer = (struct answer){};
}

void answers_note_change(struct answers *answers, int64_t change)
{
	if (change != answers->change)
		answers_free(answers);
	answers->change = change;
}

const struct answer *answers_find(const struct answers *answers, const struct route *route,
                                  const char *service, int64_t now)
{
	for (size_t i = 0; i < ARRAY_SIZE(answers->rows); i++) {
		const struct answer *row = &answers->rows[i];

		if (row->route == route && row->until > now && !strcmp(row->service, service))
			return row;
	}
	return NULL;
}

const struct answer *answers_find_old(struct answers *answers, const struct route *route,
                                      const char *service, int64_t now)
{
	for (size_t i = 0; i < ARRAY_SIZE(answers->rows); i++) {
		struct answer *row = &answers->rows[i];

		if (row->route != route || row->seen + ANSWERS_BUSY_NS <= now ||
		    strcmp(row->service, service) != 0)
			continue;
		row->until = row->seen + ANSWERS_BUSY_NS;
		return row;
	}
	return NULL;
}

const struct answer *answers_keep(struct answers *answers, const struct answer *answer, int64_t now)
{
	struct answer *row = &answers->rows[0];

	/* Free rows are the oldest. */
	for (size_t i = 1; i < ARRAY_SIZE(answers->rows); i++)
		if (answers->rows[i].seen < row->seen)
			row = &answers->rows[i];
	for (size_t i = 0; i < ARRAY_SIZE(answers->rows); i++)
		if (answers->rows[i].route == answer->route &&
		    !strcmp(answers->rows[i].service, answer->service))
			row = &answers->rows[i];
	answers_free_one(row);
	*row = *answer;
	row->seen = now;
	row->until = now + ANSWERS_KEPT_NS;
	return row;
}

int64_t answers_expire(struct answers *answers, int64_t now)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(answers->rows); i++) {
		struct answer *row = &answers->rows[i];

		if (row->route && row->seen + ANSWERS_BUSY_NS <= now)
			answers_free_one(row);
		else if (row->route && row->seen + ANSWERS_BUSY_NS < next)
			next = row->seen + ANSWERS_BUSY_NS;
	}
	return next;
}

void answers_free(struct answers *answers)
{
	for (size_t i = 0; i < ARRAY_SIZE(answers->rows); i++)
		answers_free_one(&answers->rows[i]);
}
