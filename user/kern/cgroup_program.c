/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/cgroup_program.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <bpf/bpf.h>

void cgroup_program_close(struct cgroup_program_attached *attached)
{
	for (size_t i = 0; i < attached->n; i++)
		close(attached->fds[i]);
	attached->n = 0;
}

int cgroup_program_find(int cgroup, const struct cgroup_program *program,
                        struct cgroup_program_attached *ret)
{
	uint32_t ids[CGROUP_PROGRAM_MAX], n = CGROUP_PROGRAM_MAX;

	if (bpf_prog_query(cgroup, program->type, 0, NULL, ids, &n) < 0)
		return -errno;
	for (uint32_t i = 0; i < n; i++) {
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);
		_cleanup_close_ int fd = bpf_prog_get_fd_by_id(ids[i]);

		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
			return -errno;
		if (!strcmp(info.name, program->name))
			ret->fds[ret->n++] = TAKE_FD(fd);
	}
	return 0;
}

int cgroup_program_attach(int cgroup, const struct cgroup_program *program, int fd,
                          const struct cgroup_program_attached *old)
{
	LIBBPF_OPTS(bpf_prog_attach_opts, replace, .flags = BPF_F_ALLOW_MULTI | BPF_F_REPLACE);
	int r = -ENOENT;

	if (old->n) {
		replace.replace_prog_fd = old->fds[0];
		r = bpf_prog_attach_opts(fd, cgroup, program->type, &replace) < 0 ? -errno : 0;
	}
	if (r == -ENOENT) /* none, or it is gone */
		r = bpf_prog_attach(fd, cgroup, program->type, BPF_F_ALLOW_MULTI) < 0 ? -errno : 0;
	for (size_t i = 1; i < old->n && r == 0; i++)
		bpf_prog_detach2(old->fds[i], cgroup, program->type);
	return r;
}

void cgroup_program_detach(int cgroup, const struct cgroup_program *program)
{
	_cleanup_cgroup_program_ struct cgroup_program_attached ours = {0};

	if (cgroup_program_find(cgroup, program, &ours) < 0)
		return;
	for (size_t i = 0; i < ours.n; i++)
		bpf_prog_detach2(ours.fds[i], cgroup, program->type);
}
