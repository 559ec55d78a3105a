/* SPDX-License-Identifier: BSD-2-Clause */
#include "web/route.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/parse.h"
#include "core/service_name.h"

#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"
#define TYPE_JSON    "application/json"

#define SERVICES "/api/v1/services"
#define METRICS                                                                                    \
	{                                                                                          \
		"/metrics", ROUTE_LOOK, TYPE_METRICS, look_metrics, .is_open = true                \
	}
#define ACTION(name, kind)                                                                         \
	{                                                                                          \
		SERVICES "/*/" name, ROUTE_ACTION, TYPE_JSON, .action = (kind)                     \
	}

const struct route route_metrics[] = {METRICS, {0}};

const struct route route_all[] = {
        {"/", ROUTE_PAGE, "text/html; charset=utf-8", .file = &page_index},
        {"/page.css", ROUTE_PAGE, "text/css; charset=utf-8", .file = &page_css},
        {"/page.js", ROUTE_PAGE, "text/javascript; charset=utf-8", .file = &page_js},
        {"/text", ROUTE_LOOK, "text/plain; charset=utf-8", look_text},
        METRICS,
        {"/ready", ROUTE_LOOK, TYPE_JSON, look_ready, .is_open = true},
        {"/live", ROUTE_LOOK, TYPE_JSON, look_live, .is_open = true},
        {SERVICES, ROUTE_LOOK, TYPE_JSON, look_services},
        {SERVICES "/*", ROUTE_LOOK, TYPE_JSON, look_service},
        {SERVICES "/*/events", ROUTE_EVENTS, TYPE_JSON, look_events},
        {SERVICES "/*/rollout", ROUTE_LOOK, TYPE_JSON, look_rollout},
        ACTION("drain", REQUEST_DRAIN),
        ACTION("resume", REQUEST_RESUME),
        ACTION("promote", REQUEST_PROMOTE),
        ACTION("pause", REQUEST_PAUSE),
        ACTION("abort", REQUEST_ABORT),
        ACTION("rollback", REQUEST_ROLLBACK),
        {0},
};

/* Whether @path is that of the row. Writes the name of the service. */
static bool route_matches(const char *pattern, const char *path, char service[RPD_LABEL_MAX])
{
	const char *star = strchr(pattern, '*');
	const size_t before = star ? (size_t)(star - pattern) : strlen(pattern);
	size_t n;

	if (!star)
		return !strcmp(path, pattern);
	if (strncmp(path, pattern, before) != 0)
		return false;
	n = strcspn(path + before, "/");
	if (n >= RPD_LABEL_MAX || strcmp(path + before + n, star + 1) != 0)
		return false;
	*(char *)mempcpy(service, path + before, n) = '\0';
	return service_name_check(service, NULL) == 0;
}

struct route_found route_find(const struct route *table, const char *method, const char *path)
{
	struct route_found found = {};

	for (const struct route *row = table; row->path; row++) {
		const bool is_action = row->kind == ROUTE_ACTION;
		char service[RPD_LABEL_MAX] = "";

		if (!route_matches(row->path, path, service))
			continue;
		found.allow = is_action ? "POST" : "GET, HEAD";
		if (!strcmp(method, "POST") ? !is_action
		                            : is_action || (strcmp(method, "GET") != 0 &&
		                                            strcmp(method, "HEAD") != 0))
			continue;
		found.route = row;
		memcpy(found.service, service, sizeof(service));
		break;
	}
	return found;
}

int route_parse_after(const char *value, int64_t *ret)
{
	long number = -1;

	if (value && parse_long(value, 0, LONG_MAX, &number) < 0)
		return -EINVAL;
	*ret = number;
	return 0;
}

int route_parse_draining(const char *value, unsigned int *ret)
{
	if (value && strcmp(value, "404") != 0)
		return -EINVAL;
	*ret = value ? 404 : 0;
	return 0;
}
