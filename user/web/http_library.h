/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libmicrohttpd, loaded when HTTP is first served: it needs a TLS library that takes more
 * memory than the rest of a supervisor.
 */
#pragma once

#include <microhttpd.h>

#include "base/error.h"

struct http_library {
	__typeof__(&MHD_start_daemon) start_daemon;
	__typeof__(&MHD_stop_daemon) stop_daemon;
	__typeof__(&MHD_create_response_from_buffer) create_response_from_buffer;
	__typeof__(&MHD_add_response_header) add_response_header;
	__typeof__(&MHD_queue_response) queue_response;
	__typeof__(&MHD_destroy_response) destroy_response;
	__typeof__(&MHD_get_connection_info) get_connection_info;
	__typeof__(&MHD_get_daemon_info) get_daemon_info;
	__typeof__(&MHD_get_timeout) get_timeout;
	__typeof__(&MHD_run) run;
	__typeof__(&MHD_lookup_connection_value) lookup_connection_value;
	__typeof__(&MHD_suspend_connection) suspend_connection;
	__typeof__(&MHD_resume_connection) resume_connection;
};

/* Filled in by http_library_load(). */
extern struct http_library http;

/* Returns 0, also if it is loaded already, or -ENOENT if it is not installed. */
int http_library_load(struct error *err);

/* Whether http_library_load() will work in another process: tries it in a child. Returns 0, or a
 * negative errno with @err set. */
int http_library_check(struct error *err);
