/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/http_library.h"

#include <dlfcn.h>
#include <errno.h>

#define HTTP_LIBRARY "libmicrohttpd.so.12"

struct http_library http;

int http_library_load(struct error *err)
{
	void *library;

	if (http.start_daemon)
		return 0;
	library = dlopen(HTTP_LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return error_set(err, -ENOENT,
		                 "serving metrics needs libmicrohttpd: %s; install it (Debian: "
		                 "libmicrohttpd12)",
		                 dlerror());
	http.stop_daemon = dlsym(library, "MHD_stop_daemon");
	http.create_response_from_buffer = dlsym(library, "MHD_create_response_from_buffer");
	http.add_response_header = dlsym(library, "MHD_add_response_header");
	http.queue_response = dlsym(library, "MHD_queue_response");
	http.destroy_response = dlsym(library, "MHD_destroy_response");
	http.start_daemon = dlsym(library, "MHD_start_daemon");
	if (http.stop_daemon && http.create_response_from_buffer && http.add_response_header &&
	    http.queue_response && http.destroy_response && http.start_daemon)
		return 0;
	http.start_daemon = NULL;
	return error_set(err, -ENOENT, "%s lacks a function that libmicrohttpd has", HTTP_LIBRARY);
}
