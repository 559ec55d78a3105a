/* SPDX-License-Identifier: BSD-2-Clause */
#include "web/http_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

#define HTTP_LIBRARY "libmicrohttpd.so.12"

struct http_library http;

#define FUNCTION(member)                                                                           \
	{                                                                                          \
		"MHD_" #member, offsetof(struct http_library, member)                              \
	}

static const struct {
	const char *name;
	size_t offset;
} functions[] = {
        FUNCTION(start_daemon),
        FUNCTION(stop_daemon),
        FUNCTION(create_response_from_buffer),
        FUNCTION(add_response_header),
        FUNCTION(queue_response),
        FUNCTION(destroy_response),
        FUNCTION(get_connection_info),
        FUNCTION(get_daemon_info),
        FUNCTION(get_timeout),
        FUNCTION(run),
        FUNCTION(lookup_connection_value),
        FUNCTION(suspend_connection),
        FUNCTION(resume_connection),
};

static bool is_loaded;

int http_library_load(struct error *err)
{
	void *library;

	if (is_loaded)
		return 0;
	library = dlopen(HTTP_LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return error_set(err, -ENOENT,
		                 "serving HTTP needs libmicrohttpd: %s; install it (Debian: "
		                 "libmicrohttpd12)",
		                 dlerror());
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		void *function = dlsym(library, functions[i].name);

		if (!function)
			return error_set(err, -ENOENT, "%s lacks the function %s", HTTP_LIBRARY,
			                 functions[i].name);
		memcpy((char *)&http + functions[i].offset, &function, sizeof(function));
	}
	is_loaded = true;
	return 0;
}

int http_library_check(struct error *err)
{
	struct error why = {};
	_cleanup_close_ int ours = -1;
	int pipe[2], r = 0;
	pid_t pid;

	if (pipe2(pipe, O_CLOEXEC) < 0)
		return error_set(err, -errno, "can't make a pipe: %s", strerror(errno));
	ours = pipe[0];
	pid = fork();
	if (pid == 0) {
		if (http_library_load(&why) < 0 && write(pipe[1], &why, sizeof(why)) < 0)
			_exit(1);
		_exit(0);
	}
	close(pipe[1]);
	if (pid < 0)
		return error_set(err, -errno, "can't make a process: %s", strerror(errno));
	if (read(ours, &why, sizeof(why)) == sizeof(why)) /* fits into the pipe */
		r = error_set(err, -ENOENT, "%s", why.text);
	waitpid(pid, NULL, 0);
	return r;
}
