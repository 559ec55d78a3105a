/* SPDX-License-Identifier: BSD-2-Clause */
/* The workers of a status view in the order that the user chose, and which of them are visible. */
#pragma once

#include <json-c/json.h>
#include <stddef.h>

#include "view/screen.h"

struct screen_row {
	struct json_object *worker; /* belongs to the view */
	double key;                 /* what it is sorted by; -1 = unknown */
	int slot;
};

/* The sort's name for the user, and the member of a worker that it compares. */
const char *screen_rows_sort_name(enum screen_sort sort);
const char *screen_rows_sort_key(enum screen_sort sort);

/* The workers that the user wants to see, sorted; equal ones by slot. The caller frees *ret.
 * Returns 0 or -ENOMEM. */
int screen_rows_sort(struct json_object *status, const struct screen *screen,
                     struct screen_row **ret, size_t *ret_n);

/* The index of the selected worker, or -1. */
long screen_rows_find_selected(const struct screen *screen, const struct screen_row *rows,
                               size_t n);

/* Sets screen->first so that the selected worker is visible and the page is full. Drops the
 * selection if its worker does not exist any more. */
void screen_rows_scroll(struct screen *screen, const struct screen_row *rows, size_t n);
