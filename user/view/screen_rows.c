/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/screen_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_read.h"

static const struct {
	const char *name, *key;
} sorts[] = {
        [SCREEN_BY_SLOT] = {"slot", "slot"},     [SCREEN_BY_SHARE] = {"share", "share_percent"},
        [SCREEN_BY_RATE] = {"rate", "rate"},     [SCREEN_BY_ACTIVE] = {"active", "active"},
        [SCREEN_BY_QUEUE] = {"queue", "queued"},
};
_Static_assert(ARRAY_SIZE(sorts) == SCREEN_SORT_MAX, "a name and a key for each sort");

const char *screen_rows_sort_name(enum screen_sort sort)
{
	return sorts[sort].name;
}

const char *screen_rows_sort_key(enum screen_sort sort)
{
	return sorts[sort].key;
}

static bool screen_rows_is_shown(const struct screen *screen, struct json_object *worker)
{
	const char *version = json_read_text(worker, "version");

	return !screen->version[0] || (version && !strcmp(version, screen->version));
}

static int screen_rows_compare(const void *a, const void *b, void *data)
{
	const struct screen_row *x = a, *y = b;
	const struct screen *screen = data;
	int order = screen->sort == SCREEN_BY_SLOT ? 0 : (x->key < y->key) - (x->key > y->key);

	if (order == 0)
		order = (x->slot > y->slot) - (x->slot < y->slot);
	return screen->reversed ? -order : order;
}

int screen_rows_sort(struct json_object *status, const struct screen *screen,
                     struct screen_row **ret, size_t *ret_n)
{
	struct json_object *workers = json_read_value(status, "workers");
	const size_t all = json_object_array_length(workers);
	struct screen_row *rows = calloc(all + 1, sizeof(*rows));
	size_t n = 0;

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < all; i++) {
		struct json_object *worker = json_object_array_get_idx(workers, i);
		struct json_object *key = json_read_value(worker, sorts[screen->sort].key);

		if (!screen_rows_is_shown(screen, worker))
			continue;
		rows[n++] = (struct screen_row){
		        .worker = worker,
		        .key = key ? json_object_get_double(key) : -1,
		        .slot = json_read_number(worker, "slot"),
		};
	}
	qsort_r(rows, n, sizeof(*rows), screen_rows_compare, (void *)screen);
	*ret = rows;
	*ret_n = n;
	return 0;
}

long screen_rows_find_selected(const struct screen *screen, const struct screen_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].slot == screen->selected)
			return i;
	return -1;
}

void screen_rows_scroll(struct screen *screen, const struct screen_row *rows, size_t n)
{
	long at = screen_rows_find_selected(screen, rows, n);

	if (at < 0)
		screen->selected = SCREEN_NO_SLOT;
	else if ((size_t)at < screen->first)
		screen->first = at;
	else if ((size_t)at >= screen->first + screen->page)
		screen->first = at - screen->page + 1;
	if (screen->first + screen->page > n)
		screen->first = n > screen->page ? n - screen->page : 0;
}
