/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/control_client.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "service/run_dir.h"

void control_client_address(const char *service, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	run_dir_path(service, "control", ret->sun_path, sizeof(ret->sun_path));
}

static int control_client_parse(struct json_object *object, void (*on_line)(const char *, void *),
                                void *data, int *ret_status, struct error *err)
{
	struct json_object *value;

	if (json_object_object_get_ex(object, "line", &value))
		on_line(json_object_get_string(value), data);
	if (!json_object_object_get_ex(object, "status", &value))
		return 0;
	*ret_status = json_object_get_int(value);
	if (*ret_status != EXIT_OK) {
		error_set(err, -ECANCELED, "%s",
		          json_object_object_get_ex(object, "error", &value)
		                  ? json_object_get_string(value)
		                  : "the supervisor has given no reason");
		if (err)
			err->status = *ret_status;
	}
	return 1;
}

/* Returns 0 and the connected socket, CONTROL_NO_SUPERVISOR, or a negative errno. */
static int control_client_connect(const char *service, int *ret, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;

	control_client_address(service, &address);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
		*ret = TAKE_FD(fd);
		return 0;
	}
	if (errno == ENOENT || errno == ECONNREFUSED) {
		error_set(err, -ENOENT,
		          "service '%s' has no supervisor: `reuseportd run` is not running",
		          service);
		return CONTROL_NO_SUPERVISOR;
	}
	return error_set(err, -errno, "can't reach the supervisor of service '%s' by %s: %s",
	                 service, address.sun_path, strerror(errno));
}

int control_client_ask(const char *service, const char *request,
                       void (*on_line)(const char *line, void *data), void *data,
                       struct json_object **ret, struct error *err)
{
	struct iovec parts[] = {{(char *)request, strlen(request)}, {"\n", 1}};
	const struct msghdr message = {.msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts)};
	_cleanup_close_ int fd = -1;
	_cleanup_file_ FILE *stream = NULL;
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	int status = 0, r = control_client_connect(service, &fd, err);

	if (r != 0)
		return r;
	/* If the supervisor has just died, the read below finds that, without SIGPIPE. */
	sendmsg(fd, &message, MSG_NOSIGNAL);
	stream = fdopen(fd, "r");
	if (!stream)
		return error_set(err, -errno, "%s", strerror(errno));
	TAKE_FD(fd);
	while (memory_getdelim(&line, &room, '\n', stream) > 0) {
		struct json_object *object = json_tokener_parse(line);
		r = control_client_parse(object, on_line, data, &status, err);

		if (r > 0 && !status && ret)
			*ret = json_object_get(object);
		json_object_put(object);
		if (r > 0)
			return status ? -ECANCELED : 0;
	}
	error_set(err, -EPIPE,
	          "the supervisor of service '%s' has ended before it answered the request",
	          service);
	return CONTROL_SUPERVISOR_ENDED;
}
