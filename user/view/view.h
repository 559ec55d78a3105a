/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What commands show. Each view is built once, as a JSON object, and then written either as JSON
 * or as text made from that same object, so that the two can't tell different stories.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/doctor_checks.h"
#include "service/connections.h"
#include "service/drain_wait.h"
#include "service/worker_stats.h"
#include "service/observed.h"
#include "service/service.h"

/* `status`: NULL with @err set on failure. The caller owns the object (json_object_put()). */
struct json_object *view_status(const struct service *service, const struct observed *observed,
                                const struct service_stats *load, struct error *err);
void view_status_text(FILE *out, struct json_object *status);

/* One line on what a change came to, from the status after it. */
void view_change_text(FILE *out, struct json_object *status);

/* `list`: an array of services; view_list_add() appends one that is open, or says why it isn't. */
struct json_object *view_list_new(void);
void view_list_add(struct json_object *list, const struct service *service,
                   const struct observed *observed);
void view_list_add_broken(struct json_object *list, const char *name, const char *why);
void view_list_text(FILE *out, struct json_object *list);

/* `connections`: an array. */
struct json_object *view_connections(const struct connections *connections);
void view_connections_text(FILE *out, struct json_object *connections);

/* One of `events`. */
struct json_object *view_event(const struct rpd_event *event);
void view_event_text(FILE *out, struct json_object *event);

/* What `drain --wait` came to. */
struct json_object *view_empty(const char *service, const struct slots *slots,
                               const struct drain_wait_result *result);
void view_empty_text(FILE *out, struct json_object *view);

/* `doctor`. */
struct json_object *view_checks(const struct doctor_checks *checks);
void view_checks_text(FILE *out, struct json_object *checks);

/* `metrics`: the Prometheus text format of an array of services, each by its status, or, if it
 * could not be read, as view_list_add_broken() has it. */
int view_metrics_text(FILE *out, struct json_object *services, struct error *err);

/* Any view as JSON. */
void view_json(FILE *out, struct json_object *view);

/* One column of a table: the member @key of each row. Numbers are right-aligned. */
struct column {
	const char *title;
	const char *key;
	const char *suffix; /* behind each value, such as "%" */
	/* Or how to write a value. */
	void (*format)(struct json_object *value, char *buf, size_t size);
};

/* Writes the array @rows as an aligned table. A missing member is shown as "-". */
void table_print(FILE *out, struct json_object *rows, const struct column *columns, size_t n);

/* A column's format: seconds as 42s, 42m, 42h or 42d, as much as is of interest. */
void format_age(struct json_object *value, char *buf, size_t size);

/* Writes @text, and a newline, wrapped at 80 columns: the first line from column @at on, where the
 * cursor is, the others behind an indent. */
void text_wrap(FILE *out, const char *text, int at, int indent);
