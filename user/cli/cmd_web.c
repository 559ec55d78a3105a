/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/command.h"
#include "cli/web_action.h"
#include "cli/web_serve.h"

/* A command holds a lock for some milliseconds. */
#define PATIENCE_MS 100

static int cmd_web_check(const struct invocation *i, struct error *err)
{
	const char *missing = http_address_check(&i->web.address, i->web.admin, i->web.token_file);

	if (i->n_args)
		return error_usage(err, "`web` takes no argument");
	if (!http_address_is_set(&i->web.address))
		return error_usage(err, "--listen is missing, such as --listen 127.0.0.1:9465");
	return missing ? error_usage(err, "%s (--token-file)", missing) : 0;
}

int cmd_web(struct invocation *i, struct error *err)
{
	struct http_settings settings = {
	        .address = i->web.address,
	        .what = "the page",
	        .routes = route_all,
	        .look = {.admin = i->web.admin, .patience_ms = PATIENCE_MS},
	        .host = i->web.host,
	        .act = i->web.admin ? web_action : NULL,
	        .agent = i->web.agent,
	};
	int r = cmd_web_check(i, err);

	if (r == 0)
		r = min_live_parse(i->web.min_live, &settings.look.min_live, err);
	if (r == 0 && i->web.token_file)
		r = guard_read_token(i->web.token_file, &settings.token, err);
	return r < 0 ? r : web_serve(&settings, "/", err);
}
