#include "gateway/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static void give(const char *path, uid_t uid)
{
	struct stat st;

	if (path && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid != uid &&
	    lchown(path, uid, (gid_t)-1) != 0) {
		/* a later reopen will say that it cannot */
	}
}

void zg_privileges_give_logs(const zg_gateway_t *conf)
{
	const struct passwd *user = conf->user && geteuid() == 0 ? getpwnam(conf->user) : NULL;

	if (!user)
		return;
	give(conf->error_log, user->pw_uid);
	give(conf->access_log, user->pw_uid);
}

static int become(const struct passwd *user, gid_t gid, zg_err_t *err)
{
	if (initgroups(user->pw_name, gid) != 0 || setgid(gid) != 0 || setuid(user->pw_uid) != 0)
		return zg_err(err, "user: cannot become %s: %s", user->pw_name, strerror(errno));
	if (getuid() != user->pw_uid || geteuid() != user->pw_uid || getgid() != gid ||
	    getegid() != gid || (user->pw_uid != 0 && (setuid(0) == 0 || seteuid(0) == 0)))
		return zg_err(err, "user: root can be regained from %s", user->pw_name);
	/* the kernel takes this away with the user: a crash would leave no core, and
	 * /proc/self would be root's */
	prctl(PR_SET_DUMPABLE, 1);
	return 0;
}

int zg_privileges_drop(const zg_gateway_t *conf, zg_err_t *err)
{
	const struct passwd *user = conf->user ? getpwnam(conf->user) : NULL;
	const struct group *group = conf->group ? getgrnam(conf->group) : NULL;

	if (!conf->user)
		return 0;
	if (!user)
		return zg_err(err, "user: there is no user %s", conf->user);
	if (conf->group && !group)
		return zg_err(err, "group: there is no group %s", conf->group);
	if (geteuid() != 0) {
		if (user->pw_uid != geteuid())
			zg_warn("[gateway] user = %s is not followed: only root can become another user",
			        conf->user);
		return 0;
	}
	return become(user, group ? group->gr_gid : user->pw_gid, err);
}
