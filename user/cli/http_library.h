/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libmicrohttpd, loaded when metrics are to be served and not before: it brings a TLS library along
 * that is larger than all of a supervisor.
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
};

/* Filled in by http_library_load(), which may be called again. */
extern struct http_library http;

/* -ENOENT if it isn't installed. */
int http_library_load(struct error *err);
