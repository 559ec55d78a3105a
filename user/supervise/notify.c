/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/notify.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/notify_message.h"
#include "kern/peer_message.h"
#include "stream/log.h"
#include "supervise/priority.h"
#include "supervise/share.h"

#define NOTIFY_TEXT_MAX 4096
#define NOTIFY_READ_MAX 8   /* datagrams at a time */
#define NOTIFY_REST_MAX 512 /* the most that net.unix.max_dgram_qlen usually allows */
#define NOTIFY_PERCENT  20  /* of the loop's time */

struct notify {
	int fd;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	uid_t uid; /* of the socket */
	bool refuses_files;
	struct share share;
	notify_ready ready;
	void *data;
};

static void notify_refuse_files(struct notify *notify);

/* Returns whether there was a datagram. */
static bool notify_read(struct notify *notify)
{
	char text[NOTIFY_TEXT_MAX];
	struct ucred sender;
	size_t n = 0;
	int r = peer_message_receive(notify->fd, text, sizeof(text), &n, &sender);

	if (r == PEER_MESSAGE_STUCK)
		notify_refuse_files(notify);
	if (r != PEER_MESSAGE_TAKEN)
		return false;
	if (sender.pid && n <= sizeof(text) && notify_message_is_ready(text, n))
		notify->ready((uint32_t)sender.pid, notify->data);
	return true;
}

static int notify_on_datagram(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct notify *notify = data;

	share_begin(&notify->share);
	for (int i = 0; i < NOTIFY_READ_MAX && notify_read(notify); i++)
		;
	share_end(&notify->share);
	return 0;
}

void notify_read_rest(struct notify *notify)
{
	for (int i = 0; i < NOTIFY_REST_MAX && notify_read(notify); i++)
		;
}

/*
 * Workers of a user other than root can't change their user: the socket is theirs. Workers of root
 * may become any user before they report, so that the socket is open to all, as systemd's is.
 */
static int notify_restrict(const char *path, uid_t uid)
{
	return chown(path, uid, (gid_t)-1) < 0 || chmod(path, uid ? 0600 : 0666) < 0 ? -errno : 0;
}

static int notify_open_socket(const char *path, uid_t uid, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int on = 1;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, -ENAMETOOLONG, "%s is too long for a socket", path);
	strcpy(address.sun_path, path);
	unlink(path); /* left by a supervisor that was killed */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    notify_restrict(path, uid) < 0)
		return error_set(err, -errno, "can't create the socket %s: %s", path,
		                 strerror(errno));
	return TAKE_FD(fd);
}

/* In place of the socket with messages that can't be received, a new one, which gets no such
 * message; sd_notify_barrier(3) fails from now on. Where the kernel can't refuse descriptors, they
 * are not held for ever either. */
static void notify_refuse_files(struct notify *notify)
{
	_cleanup_close_ int fd = -1;

	if (notify->refuses_files || !peer_message_refuse_files(notify->fd))
		return;
	fd = notify_open_socket(notify->path, notify->uid, NULL);
	if (fd < 0 || !peer_message_refuse_files(fd) ||
	    sd_event_source_set_io_fd(notify->share.source, fd) < 0)
		return;
	peer_message_close(notify->fd);
	notify->fd = TAKE_FD(fd);
	notify->refuses_files = true;
	log_line(
	        "reuseportd: %s refuses messages with descriptors from now on: some that it got "
	        "take too long to be closed",
	        notify->path);
}

int notify_new(sd_event *loop, const char *path, uid_t uid, notify_ready ready, void *data,
               struct notify **ret, struct error *err)
{
	struct notify *notify = calloc(1, sizeof(*notify));
	sd_event_source *source = NULL;
	int r;

	if (!notify)
		return error_set(err, -ENOMEM, "out of memory");
	notify->ready = ready;
	notify->data = data;
	notify->uid = uid;
	snprintf(notify->path, sizeof(notify->path), "%s", path);
	notify->fd = r = notify_open_socket(path, uid, err);
	if (r >= 0) {
		r = sd_event_add_io(loop, &source, notify->fd, EPOLLIN, notify_on_datagram, notify);
		if (r >= 0)
			r = sd_event_source_set_priority(source, PRIORITY_UNTRUSTED);
		if (r < 0)
			error_set(err, r, "can't watch %s: %s", path, strerror(-r));
	}
	if (r < 0) {
		sd_event_source_disable_unref(source);
		notify_free(notify);
		return r;
	}
	share_init(&notify->share, source, NOTIFY_PERCENT);
	*ret = notify;
	return 0;
}

int notify_allow(struct notify *notify, uid_t uid, struct error *err)
{
	int r;

	if (notify->uid == 0 || notify->uid == uid)
		return 0;
	/* Workers of both users may send. */
	r = notify_restrict(notify->path, 0);
	if (r < 0)
		return error_set(err, r, "can't open the socket %s to another user: %s",
		                 notify->path, strerror(-r));
	notify->uid = 0;
	return 0;
}

void notify_free(struct notify *notify)
{
	if (!notify)
		return;
	share_deinit(&notify->share);
	peer_message_close(notify->fd);
	free(notify);
}
