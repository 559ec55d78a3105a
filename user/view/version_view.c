/* SPDX-License-Identifier: BSD-2-Clause */
#include "view/version_view.h"

#include <string.h>

#include "base/json_build.h"
#include "base/json_read.h"
#include "core/schedule_past.h"
#include "core/schedule_version.h"
#include "view/response_view.h"

/* Those of the schedule, and the one that workers will have which are not started yet. */
#define VERSIONS_MAX (RPD_VERSION_MAX + 1)

struct version_row {
	const char *label;
	unsigned int workers;
	double share_percent;
	struct schedule_past_sum sum;
};

struct version_rows {
	struct version_row at[VERSIONS_MAX];
	size_t n;
};

/* NULL if there is none. */
static struct version_row *version_view_find(struct version_rows *rows, const char *label)
{
	for (size_t i = 0; i < rows->n; i++)
		if (!strcmp(rows->at[i].label, label))
			return &rows->at[i];
	return NULL;
}

static struct version_row *version_view_make(struct version_rows *rows, const char *label)
{
	struct version_row *row = version_view_find(rows, label);

	if (row || rows->n == VERSIONS_MAX)
		return row;
	rows->at[rows->n] = (struct version_row){.label = label};
	return &rows->at[rows->n++];
}

static void version_view_count_workers(struct json_object *workers, const struct rpd_schedule *s,
                                       const struct service_stats *stats, struct version_rows *rows)
{
	for (size_t i = 0; i < json_object_array_length(workers); i++) {
		struct json_object *worker = json_object_array_get_idx(workers, i);
		const unsigned int slot = (unsigned int)json_read_number(worker, "slot");
		struct version_row *row =
		        version_view_make(rows, json_read_text(worker, "version") ?: "");
		uint16_t account;

		if (!row)
			continue;
		row->workers++;
		row->share_percent += json_read_real(worker, "share_percent");
		if (!stats->slots[slot].counted || !schedule_past_account(s, slot, &account))
			continue;
		row->sum.opened += stats->slots[slot].count.of[RPD_CONN_opened];
		row->sum.resets += stats->slots[slot].count.of[RPD_CONN_reset_by_worker];
	}
}

/* Null without a worker: then the past is not known. */
static void version_view_add_connections(struct json_object *to, const struct rpd_schedule *s,
                                         const struct service_stats *stats,
                                         const struct version_row *row)
{
	const int version = schedule_version_find(s, row->label);
	struct schedule_past_sum total = {};
	struct json_object *view;

	if (row->workers == 0 || !stats->counting) {
		json_build_value(to, "connections", NULL);
		return;
	}
	if (version >= 0)
		total = schedule_past_total(&s->versions[version], &row->sum);
	view = json_build_object(to, "connections");
	json_build_number(view, "opened", (int64_t)total.opened);
	json_build_number(view, "reset_by_worker", (int64_t)total.resets);
}

/* @responses: NULL = not counted. */
static void version_view_add_row(struct json_object *view, const struct rpd_schedule *s,
                                 const struct service_stats *stats, const struct version_row *row,
                                 const struct response_count *responses, bool full)
{
	struct json_object *to = json_build_row(view);

	json_build_text(to, "version", row->label[0] ? row->label : NULL);
	json_build_number(to, "workers", row->workers);
	json_build_real(to, "share_percent", row->share_percent);
	version_view_add_connections(to, s, stats, row);
	response_view_add_version(to, responses, full);
}

void version_view_add(struct json_object *to, const struct service *service,
                      const struct service_stats *stats, bool full)
{
	const struct rpd_schedule *s = steer_schedule(&service->steer);
	struct json_object *view = json_build_array(to, "versions");
	struct version_rows rows = {};

	version_view_count_workers(json_read_value(to, "workers"), s, stats, &rows);
	for (size_t i = 0; i < rows.n; i++) {
		const struct response_count responses =
		        response_stats_find(stats->versions, stats->n_versions, rows.at[i].label);

		version_view_add_row(view, s, stats, &rows.at[i],
		                     stats->responses ? &responses : NULL, full);
	}
	for (size_t i = 0; i < stats->n_versions; i++) {
		const struct version_responses *it = &stats->versions[i];
		const struct version_row row = {.label = it->label};

		/* Connections of an unknown worker are an exception. */
		if (!version_view_find(&rows, it->label) &&
		    (it->label[0] || response_count_final(&it->count)))
			version_view_add_row(view, s, stats, &row, &it->count, full);
	}
}
