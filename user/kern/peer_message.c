/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/peer_message.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* from asm-generic/socket.h of Linux 6.16 */
#endif

/* How long closing what has come with a message may take. */
#define PATIENCE_NS 2000000

union control {
	char buf[CMSG_SPACE(sizeof(struct ucred))];
	struct cmsghdr align;
};

/* A signal interrupts the wait in close(), which happens before the receiving call returns. */
static void peer_message_on_alarm(int number)
{
}

/* The timer that sends SIGVTALRM. One for the process, made by the first call. */
static timer_t *peer_message_timer(void)
{
	const struct sigaction action = {.sa_handler = peer_message_on_alarm};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGVTALRM};
	static timer_t timer;
	static bool made;
	sigset_t set;

	if (made)
		return &timer;
	sigemptyset(&set);
	sigaddset(&set, SIGVTALRM);
	made = sigaction(SIGVTALRM, &action, NULL) == 0 &&
	       sigprocmask(SIG_UNBLOCK, &set, NULL) == 0 &&
	       timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
	return made ? &timer : NULL;
}

/* Until the alarm is off, each PATIENCE_NS: a signal may come before there is something to
 * interrupt. */
static void peer_message_set_alarm(bool on)
{
	const struct timespec patience = {.tv_nsec = on ? PATIENCE_NS : 0};
	const struct itimerspec when = {.it_interval = patience, .it_value = patience};
	timer_t *timer = peer_message_timer();

	if (timer)
		timer_settime(*timer, 0, &when, NULL);
}

void peer_message_refuse_files(int fd)
{
	const int off = 0;

	setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
}

ssize_t peer_message_receive(int fd, void *buf, size_t size, struct ucred *ret_sender)
{
	/* There is no room for descriptors, so that we never own them. The kernel puts the
	 * credentials first. */
	union control control = {};
	struct iovec part = {.iov_base = buf, .iov_len = size};
	struct msghdr message = {
	        .msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = ret_sender ? control.buf : NULL,
	        .msg_controllen = ret_sender ? sizeof(control.buf) : 0,
	};
	struct cmsghdr *header;
	ssize_t n;

	peer_message_set_alarm(true);
	n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);
	if (n < 0)
		n = -errno;
	peer_message_set_alarm(false);
	if (!ret_sender)
		return n;
	*ret_sender = (struct ucred){};
	header = CMSG_FIRSTHDR(&message);
	if (n >= 0 && header && header->cmsg_level == SOL_SOCKET &&
	    header->cmsg_type == SCM_CREDENTIALS)
		memcpy(ret_sender, CMSG_DATA(header), sizeof(*ret_sender));
	return n;
}

void peer_message_close(int fd)
{
	if (fd < 0)
		return;
	peer_message_set_alarm(true);
	close(fd);
	peer_message_set_alarm(false);
}
