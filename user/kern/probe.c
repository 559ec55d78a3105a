/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/probe.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "base/cleanup.h"

/* Not an errno of user space, but bpf() returns it. */
#define KERNEL_ENOTSUPP 524

#define INSN(op, dst, source, offset, value)                                                       \
	{                                                                                          \
		.code = (op), .dst_reg = (dst), .src_reg = (source), .off = (offset),              \
		.imm = (value)                                                                     \
	}
#define INSN_RETURN(value)                                                                         \
	INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value),                                 \
	        INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* What an attempt to use a feature tells of it; @r is the errno that it gave, or success. */
static int probe_outcome(int r)
{
	switch (-r) {
	case E2BIG: /* bpf(): bytes set in a part of the argument that this kernel doesn't know */
	case EINVAL:
	case ENOPROTOOPT:
	case ENOSYS:
	case KERNEL_ENOTSUPP:
		return 0;
	default:
		return r < 0 ? r : 1;
	}
}

static int probe_map_create(enum bpf_map_type type, uint32_t value_size, uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);

	return bpf_map_create(type, NULL, sizeof(uint32_t), value_size, 1, &opts);
}

static int probe_map(enum bpf_map_type type)
{
	_cleanup_close_ int map = probe_map_create(type, sizeof(uint64_t), 0);

	return probe_outcome(map);
}

static int probe_program(enum bpf_prog_type type, enum bpf_attach_type attach,
                         const struct bpf_insn *insns, size_t n)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach);
	_cleanup_close_ int prog = bpf_prog_load(type, NULL, "Dual BSD/GPL", insns, n, &opts);

	return prog == -EACCES ? 0 : probe_outcome(prog); /* EACCES is the verifier's no */
}

static int probe_bpf(void)
{
	return probe_map(BPF_MAP_TYPE_ARRAY);
}

static int probe_sk_reuseport(void)
{
	static const struct bpf_insn insns[] = {INSN_RETURN(SK_PASS)};

	return probe_program(BPF_PROG_TYPE_SK_REUSEPORT, 0, insns, ARRAY_SIZE(insns));
}

static int probe_sockarray(void)
{
	return probe_map(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
}

/* A kernel that doesn't know the attach type ignores it; but it doesn't know this field either. */
static int probe_migrate(void)
{
	static const struct bpf_insn insns[] = {
	        INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_2, BPF_REG_1,
	             offsetof(struct sk_reuseport_md, migrating_sk), 0),
	        INSN_RETURN(SK_PASS),
	};

	return probe_program(BPF_PROG_TYPE_SK_REUSEPORT, BPF_SK_REUSEPORT_SELECT_OR_MIGRATE, insns,
	                     ARRAY_SIZE(insns));
}

static int probe_fetch_add(void)
{
	static const struct bpf_insn insns[] = {
	        INSN(BPF_ST | BPF_MEM | BPF_DW, BPF_REG_10, 0, -8, 0),
	        INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 1),
	        INSN(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_10, BPF_REG_1, -8, BPF_ADD | BPF_FETCH),
	        INSN_RETURN(0),
	};

	return probe_program(BPF_PROG_TYPE_SOCKET_FILTER, 0, insns, ARRAY_SIZE(insns));
}

static int probe_mmap_array(void)
{
	_cleanup_close_ int map = probe_map_create(BPF_MAP_TYPE_ARRAY, 8, BPF_F_MMAPABLE);
	void *memory;

	if (map < 0)
		return probe_outcome(map);
	memory = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	if (memory == MAP_FAILED)
		return probe_outcome(-errno);
	munmap(memory, 8);
	return 1;
}

static int probe_array_of_maps(void)
{
	_cleanup_close_ int inner = probe_map_create(BPF_MAP_TYPE_ARRAY, 8, 0);
	_cleanup_close_ int outer = -1;
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = inner);

	if (inner < 0)
		return probe_outcome(inner);
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, NULL, 4, 4, 1, &opts);
	return probe_outcome(outer);
}

static int probe_pidfd_getfd(void)
{
	_cleanup_close_ int self = syscall(SYS_pidfd_open, getpid(), 0);
	_cleanup_close_ int copy = -1;

	if (self < 0)
		return probe_outcome(-errno);
	copy = syscall(SYS_pidfd_getfd, self, self, 0);
	return probe_outcome(copy < 0 ? -errno : 0);
}

static int probe_netns_cookie(void)
{
	_cleanup_close_ int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t cookie;
	socklen_t size = sizeof(cookie);

	if (sock < 0 || getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
		return probe_outcome(-errno);
	return 1;
}

static int probe_sockops(void)
{
	static const struct bpf_insn insns[] = {INSN_RETURN(1)};

	return probe_program(BPF_PROG_TYPE_SOCK_OPS, 0, insns, ARRAY_SIZE(insns));
}

static int probe_ringbuf(void)
{
	_cleanup_close_ int map =
	        bpf_map_create(BPF_MAP_TYPE_RINGBUF, NULL, 0, 0, sysconf(_SC_PAGESIZE), NULL);

	return probe_outcome(map);
}

static int probe_btf(void)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0)
		return errno == ENOENT ? 0 : -errno;
	return 1;
}

static const struct feature features[] = {
        [PROBE_BPF] = {"bpf() system call", "3.18", true, "all of the steering", probe_bpf},
        [PROBE_SK_REUSEPORT] = {"sk_reuseport program", "4.19", true, "choosing the worker",
                                probe_sk_reuseport},
        [PROBE_SOCKARRAY] = {"reuseport socket array", "4.19", true, "the slots of the workers",
                             probe_sockarray},
        [PROBE_MIGRATE] = {"connection migration", "5.14", true,
                           "keeping what is queued on a listener that closes", probe_migrate},
        [PROBE_FETCH_ADD] = {"BPF fetch-and-add", "5.12", true, "an exactly even spread",
                             probe_fetch_add},
        [PROBE_MMAP_ARRAY] = {"memory-mapped BPF array", "5.5", true, "switching in one step",
                              probe_mmap_array},
        [PROBE_ARRAY_OF_MAPS] = {"BPF array of maps", "4.12", true,
                                 "waiting until a switch is seen everywhere", probe_array_of_maps},
        [PROBE_PIDFD_GETFD] = {"pidfd_getfd()", "5.6", true, "taking over running workers",
                               probe_pidfd_getfd},
        [PROBE_NETNS_COOKIE] = {"SO_NETNS_COOKIE", "5.14", true, "telling network namespaces apart",
                                probe_netns_cookie},
        [PROBE_SOCKOPS] = {"sockops program", "4.13", false, "--watch", probe_sockops},
        [PROBE_RINGBUF] = {"BPF ring buffer", "5.8", false, "--watch", probe_ringbuf},
        [PROBE_BTF] = {"kernel BTF", "5.4", false, "programs that read the kernel's structures",
                       probe_btf},
};
_Static_assert(ARRAY_SIZE(features) == PROBE_MAX, "a row for each probe");

const struct feature *probe_describe(enum probe probe)
{
	return &features[probe];
}

int probe_feature(enum probe probe)
{
	return features[probe].probe();
}

static bool probe_bpffs_is_missing(void)
{
	char path[PATH_MAX];

	return probe_bpffs(path, sizeof(path)) == -ENOENT;
}

/*
 * Which capability each step of `attach` needs, found by taking them away one by one (on 6.1
 * and 6.18):
 *
 *   CAP_BPF              maps, program and its BTF
 *   CAP_PERFMON          the program: without it the verifier guards against Spectre, and refuses
 *                        pointer arithmetic that a compiler makes of ordinary code
 *   CAP_SYS_PTRACE       pidfd_getfd(), /proc/PID/fd and ns of a process that has another uid, or
 *                        more capabilities than we have
 *   CAP_DAC_READ_SEARCH  opening /proc/PID/fd of another uid: its mode is 0500
 *   CAP_SYS_ADMIN        stands for the first two; mounting bpffs, entering a network namespace
 *   CAP_NET_ADMIN        only to load the sockops program of --watch
 *   none                 sock_diag, pins (the folder's owner may), filling a socket array,
 *                        SO_ATTACH_REUSEPORT_EBPF
 */
static const struct privilege {
	const char *name;
	int capability;
	int instead;             /* this one will do as well */
	bool (*is_needed)(void); /* NULL: always */
} privileges[] = {
        {"CAP_BPF", CAP_BPF, CAP_SYS_ADMIN},
        {"CAP_PERFMON", CAP_PERFMON, CAP_SYS_ADMIN},
        {"CAP_SYS_PTRACE", CAP_SYS_PTRACE, CAP_SYS_PTRACE},
        {"CAP_DAC_READ_SEARCH", CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE},
        {"CAP_SYS_ADMIN (to mount bpffs)", CAP_SYS_ADMIN, CAP_SYS_ADMIN, probe_bpffs_is_missing},
};

static int probe_effective_capabilities(uint64_t *ret)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct words[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, words) < 0)
		return -errno;
	*ret = words[0].effective | (uint64_t)words[1].effective << 32;
	return 0;
}

int probe_privileges(char *ret_missing, size_t n)
{
	char missing[256] = "";
	size_t at = 0;
	uint64_t ours = 0;
	int r;

	r = probe_effective_capabilities(&ours);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(privileges); i++) {
		const struct privilege *p = &privileges[i];

		if (ours & (UINT64_C(1) << p->capability | UINT64_C(1) << p->instead) ||
		    (p->is_needed && !p->is_needed()))
			continue;
		at += snprintf(missing + at, sizeof(missing) - at, "%s%s", at ? ", " : "", p->name);
	}
	if (at == 0)
		return 1;
	snprintf(ret_missing, n, "%s", missing);
	return 0;
}

/* Lists the required features that aren't there. Returns -EOPNOTSUPP if there is one that the
 * kernel lacks, else the errno of one that couldn't be probed, else 0. */
static int probe_list_missing(struct error *err)
{
	int code = 0;

	for (enum probe p = 0; p < PROBE_MAX; p++) {
		const struct feature *f = probe_describe(p);
		int r = f->required ? probe_feature(p) : 1;

		if (r == 1)
			continue;
		if (code == 0)
			error_set(err, -1, "the kernel doesn't offer what reuseportd needs:");
		if (code != -EOPNOTSUPP)
			code = r == 0 ? -EOPNOTSUPP : r;
		error_add(err, code, "\n  %s (Linux %s), for %s%s%s", f->name, f->since, f->purpose,
		          r < 0 ? ": " : "", r < 0 ? strerror(-r) : "");
		if (p == PROBE_BPF)
			break; /* without it most others fail as well, which would tell nothing */
	}
	return code;
}

int probe_require(struct error *err)
{
	struct utsname kernel;
	char missing[256];
	int r;

	r = probe_privileges(missing, sizeof(missing));
	if (r < 0)
		return error_set(err, r, "can't read our capabilities: %s", strerror(-r));
	if (r == 0)
		return error_set(err, -EPERM,
		                 "needs root, or the capabilities " PROBE_PRIVILEGES
		                 ": missing: %s",
		                 missing);
	r = probe_list_missing(err);
	if (r == 0)
		return 0;
	if (r != -EOPNOTSUPP)
		return error_add(err, r,
		                 "\nour capabilities are sufficient, so it is a user namespace, a "
		                 "seccomp filter or a security module that denies it; as in a "
		                 "container");
	uname(&kernel);
	return error_add(err, r,
	                 "\nthis kernel is %s; reuseportd needs Linux 5.14 or later, and no "
	                 "seccomp filter that takes the above away",
	                 kernel.release);
}

/* Turns \040 and the like, as mountinfo has them, back into characters. In place. */
static void probe_unescape(char *path)
{
	char *to = path;

	for (const char *from = path; *from; to++) {
		unsigned int code;

		if (*from == '\\' && sscanf(from + 1, "%3o", &code) == 1) {
			*to = code;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* The mount point in a line of mountinfo (proc_pid_mountinfo(5)), or NULL if it isn't of @type. */
static char *probe_mount_point(char *line, const char *type)
{
	char *rest = line, *path, *fstype;

	for (int field = 0; field < 4; field++)
		strsep(&rest, " ");
	path = strsep(&rest, " ");
	rest = rest ? strstr(rest, " - ") : NULL;
	if (!rest)
		return NULL;
	rest += strlen(" - ");
	fstype = strsep(&rest, " ");
	if (strcmp(fstype, type) != 0)
		return NULL;
	probe_unescape(path);
	return path;
}

/* The first mount of @type, or the one at @preferred if there is one. @magic tells whether it can
 * be reached by its path, or whether another mount lies on top of it. */
static int probe_find_mount(const char *type, unsigned long magic, const char *preferred,
                            char *ret_path, size_t n)
{
	_cleanup_file_ FILE *mounts = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	char found[PATH_MAX] = "";
	size_t size = 0;

	if (!mounts)
		return -errno;
	while (getline(&line, &size, mounts) >= 0) {
		char *path = probe_mount_point(line, type);
		struct statfs fs;

		if (path && (!found[0] || strcmp(path, preferred) == 0) && statfs(path, &fs) == 0 &&
		    (unsigned long)fs.f_type == magic)
			snprintf(found, sizeof(found), "%s", path);
	}
	if (!found[0])
		return -ENOENT;
	if (strlen(found) >= n)
		return -ENAMETOOLONG;
	strcpy(ret_path, found);
	return 0;
}

int probe_cgroup2(char *ret_path, size_t n)
{
	return probe_find_mount("cgroup2", CGROUP2_SUPER_MAGIC, "/sys/fs/cgroup", ret_path, n);
}

int probe_bpffs(char *ret_path, size_t n)
{
	return probe_find_mount("bpf", BPF_FS_MAGIC, "/sys/fs/bpf", ret_path, n);
}

int probe_sysctl_int(const char *name, int *ret)
{
	_cleanup_file_ FILE *file = NULL;
	char path[PATH_MAX];
	int value;

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	if (fscanf(file, "%d", &value) != 1)
		return -EINVAL;
	*ret = value;
	return 0;
}
