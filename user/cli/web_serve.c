/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/web_serve.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <systemd/sd-daemon.h>

struct web_serve {
	const struct http_settings *settings;
	const char *path;
};

static void web_serve_on_ready(const void *data)
{
	const struct web_serve *it = data;
	char address[HTTP_ADDRESS_TEXT_MAX];

	http_address_format(&it->settings->address, address);
	if (it->settings->address.path[0])
		fprintf(stderr, "serving %s on %s\n", it->path, address);
	else
		fprintf(stderr, "serving http://%s%s\n", address, it->path);
	sd_notify(0, "READY=1");
}

/* As a child of `run`: the user has not called this command. The process has the name of the link
 * that the parent executes, so it is renamed. */
static void web_serve_on_ready_child(const void *data)
{
	prctl(PR_SET_NAME, "reuseportd");
}

int web_serve(const struct http_settings *settings, const char *path, struct error *err)
{
	const struct web_serve it = {settings, path};
	_cleanup_http_server_ struct http_server server;
	int r;

	http_server_init(&server, settings);
	r = http_server_inherit(&server, err);
	if (r == 0) /* what was not passed */
		r = http_server_await_bind(&server, err);
	if (r < 0)
		return r;
	r = http_server_serve(&server,
	                      server.lifeline < 0 ? web_serve_on_ready : web_serve_on_ready_child,
	                      &it, err);
	if (r == 0)
		sd_notify(0, "STOPPING=1");
	return r;
}
