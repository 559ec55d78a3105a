/* SPDX-License-Identifier: BSD-2-Clause */
/* A request to `web`: lines with method, path, query, Host, Origin, Content-Type, Authorization;
 * then the body of an action. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "core/service_name.h"
#include "fuzz.h"
#include "web/guard.h"
#include "web/route.h"

enum { METHOD, PATH, QUERY, HOST, ORIGIN, TYPE, AUTHORIZATION, LINES };

static void check_action(enum request_kind kind, const char *body, size_t size)
{
	_cleanup_request_ struct request request;
	struct error err;

	if (request_parse_action(kind, body, size, &request, &err) < 0) {
		FUZZ_CHECK(!request.fields && err.text[0]);
		return;
	}
	FUZZ_CHECK(request.kind == kind && !request.argv && !request.settings);
	FUZZ_CHECK((kind == REQUEST_DRAIN || kind == REQUEST_RESUME) ==
	           !!(request.fields & REQUEST_SLOTS));
	FUZZ_CHECK(!request.wait && !request.supersede && request.slots.n <= RPD_SLOT_MAX);
}

static void check_route(const char *method, const char *path, const char *body, size_t size)
{
	const struct route_found found = route_find(route_all, method, path);

	FUZZ_CHECK(!found.route || found.allow);
	if (!found.route)
		return;
	FUZZ_CHECK(!strcmp(method, "POST") == (found.route->kind == ROUTE_ACTION));
	FUZZ_CHECK(!!found.service[0] == !!strchr(found.route->path, '*'));
	FUZZ_CHECK(!found.service[0] || service_name_check(found.service, NULL) == 0);
	if (found.route->kind == ROUTE_ACTION)
		check_action(found.route->action, body, size);
}

static void check_token(const char *authorization, const char *text, size_t size)
{
	char header[GUARD_TOKEN_MAX + sizeof("Bearer ")];
	struct guard_token token;

	if (guard_parse_token(text, size, &token, NULL) < 0)
		return;
	FUZZ_CHECK(strlen(token.text) >= GUARD_TOKEN_MIN);
	snprintf(header, sizeof(header), "Bearer %s", token.text);
	FUZZ_CHECK(guard_has_token(header, &token));
	FUZZ_CHECK(!guard_has_token(authorization, &token) || !strcasecmp(header, authorization));
}

static void run(const char *text, size_t size)
{
	const char *rest = text, *end = text + size;
	char *lines[LINES] = {};
	int64_t after;

	for (size_t i = 0; i < LINES; i++) {
		const char *line = memchr(rest, '\n', end - rest);

		line = line ? line : end;
		lines[i] = strndup(rest, line - rest);
		rest = line < end ? line + 1 : end;
	}
	check_route(lines[METHOD], lines[PATH], rest, end - rest);
	FUZZ_CHECK(route_parse_after(lines[QUERY], &after) < 0 || after >= 0);
	guard_allows_host(lines[HOST], "web.example");
	guard_allows_origin(lines[ORIGIN], lines[HOST]);
	guard_is_json(lines[TYPE]);
	check_token(lines[AUTHORIZATION], rest, end - rest);
	for (size_t i = 0; i < LINES; i++)
		free(lines[i]);
}

const struct fuzz_target fuzz_target = {run, 8192};
