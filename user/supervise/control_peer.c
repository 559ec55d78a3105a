/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/control_peer.h"

#include <sys/socket.h>
#include <unistd.h>

bool control_peer_may_ask(int fd, pid_t *ret)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
	    (peer.uid != 0 && peer.uid != geteuid()))
		return false;
	*ret = peer.pid;
	return true;
}

void control_peer_refuse(int fd)
{
	static const char answer[] =
	        "{\"status\":1,\"error\":\"too many commands are connected to the supervisor: "
	        "retry when some of them have ended\"}\n";

	send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}
