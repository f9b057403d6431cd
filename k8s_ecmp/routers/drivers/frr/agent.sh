# The part of the driver that runs on the router. POSIX sh; needs vtysh, cat and mv, and sleep for the revert timer.
#
# One session is a pipeline:   agent | feeder | vtysh | checker
#   agent    reads the tool's commands from the SSH channel; ends with it. It owns the lock.
#   feeder   waits for "go", then applies the batches: a few lines through the waiting vtysh, many by one vtysh each;
#            and for "look", a question to the waiting vtysh, which writes its answer to the channel itself.
#   checker  reads what vtysh answers, settles the transaction, and says so on the channel (descriptor 4).
# Descriptor 6 is the channel's stream of errors: answers of vtysh, and after each of them its end.
# Feeder and checker ignore the loss of the session: once "go" was said, the router ends in the new state or the old.
#
# MANAGED is 0 where staticd has the static routes, and 1 where the management daemon has them (FRR 10): there a transaction
# needs the configuration's lock, and what it leaves in the candidate when it fails has to be thrown away. 2 where it has
# them and knows no such lock, as states between 8.5 and 9.0.
#
# Files in the work directory ($KE_DIR). ID is LOCK-SERIAL of the session that made it:
#   lock.N             the highest N counts: "PID START LAPSE OWNER", or "free". Never removed before a higher one
#                      exists, so that creating N+1 exclusively is an atomic take-over. LAPSE is the router's uptime,
#                      in hundredths of a second, at which the lock of somebody who may sleep is no longer one, 0 for never.
#   new.SLOT.K         batches to apply, and undo.SLOT.K those to take them back. The tool says "commit" only after it
#                      has read them back; the slots a and b take turns, so that the last commit keeps its undo.
#   tx.STATE.ID        a transaction: "PID START BATCHES UNDOS SLOT"; STATE: applying, applied, undoing, stuck
#   pending.ID         a commit that waits for its confirm; the rename of this file decides between
#                      confirmed and reverting
#   reverting.ID       a commit that nobody can confirm any more, until a process has claimed its undo
#   feeding            "ID PID START" of a feeder that is at its batches, or empty
#   ended              "PID START" of the last checker that ended
#   refusal, failure   why a batch was refused, and why one could not be taken back
#   unsaved            "ID" of what was done last and may be missing from the startup configuration, or empty
#   answer.PID         what vtysh said to that process; the feeder of a lost session may work beside its heir
#   note               answers of the waiting vtysh for another session to fetch, or empty; for the login's eyes alone,
#                      as a running configuration may show passwords. note-before: one of another login, that was in the way
# Without `rm` old files are renamed to one name or emptied. Starting a process is what costs time here, so the way of
# a small change has one only: the rename to "applied".
cd "$KE_DIR" || exit 9
trap '' HUP PIPE
LC_ALL=C
export LC_ALL

started() { # PID: sets START to its start time in ticks; fails when there is none or it is a zombie
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${stat##*) }
  START=${20}
  [ "$1" != Z ]
}

alive() { # PID START
  case $1 in '' | *[!0-9]*) return 1 ;; esac
  if [ -r "/proc/$1/stat" ]; then
    started "$1" && [ "$START" = "$2" ]
    return
  fi
  case $(kill -0 "$1" 2>&1) in *"No such process"*) return 1 ;; esac
}

newest_lock() { # sets N, 0 when there is none
  N=0
  for f in lock.*; do
    i=${f#lock.}
    case $i in *[!0-9]*) continue ;; esac
    [ "$i" -gt "$N" ] && N=$i
  done
}

state() { # ID: sets STATE and TX; fails when the transaction is settled. In the order in which they follow each other:
  # one that moves on meanwhile is found in its next state
  for STATE in applying applied undoing stuck; do
    TX=tx.$STATE.$1
    [ -e "$TX" ] && return
  done
  return 1
}

unfinished() { # sets ID of the transaction that is being applied or taken back; fails when there is none
  for STATE in applying undoing; do # one after the other: it may move on meanwhile
    for TX in tx."$STATE".*; do
      [ -e "$TX" ] && ID=${TX##*.} && return
    done
  done
  return 1
}

judge() { # LINE of vtysh's: adds it to BAD when it tells of a failure; a line that is gone already is no failure
  case $1 in
    "") ;;
    *"Refusing to remove a non-existent route" | "% Configuration applied with notes:"*) told= ;;
    "Warning: closing connection to"* | "Warning: connecting to"*"success!"*) ;;
    "Exiting: failed to connect to any daemons.") BAD="${BAD}staticd is not running; " told= ;;
    "% "* | "vtysh_pam: "* | "Error "* | "Warning: "* | *"d is not running") BAD="$BAD$1; " told=$1 ;;
    *"(config"*")# "*) told= ;;
    *) # from 10 on the reason stands on a line of its own
      [ "$told" != "% Configuration failed." ] || BAD="$BAD$1; "
      told= ;;
  esac
}

enter() { # says what opens the configuration for transactions
  if [ "$MANAGED" = 1 ]; then
    # The candidate is everybody's: what a failed commit left in it would fail ours, or be committed with it.
    printf 'configure terminal file-lock\nmgmt commit abort\n'
  else
    echo 'configure terminal'
  fi
}

leave() { # says what closes it; the same session has to throw away what failed, or the next one ends mgmtd (10.3)
  [ "$MANAGED" != 1 ] || echo 'mgmt commit abort'
  echo end
}

framed() { # READER BATCH: says a batch as one transaction
  echo XFRR_start_configuration
  "$1" "$2"
  echo XFRR_end_configuration
}

one_transaction() { # BATCH: by a vtysh of its own. One that reads a file itself is faster, and frames it; it is told
  # of staticd alone, because it is silent about a daemon that is not there, unless that is the only one.
  IFS= read -r first <"$1"
  case $MANAGED$first in
    0"hostname "* | 0"no hostname "*) ;; # every daemon has it
    0*)
      vtysh -d staticd -f "$1" </dev/null
      return ;;
  esac
  {
    enter
    framed cat "$1"
    leave
  } | vtysh
}

from_file() { # BATCH TRIES: one transaction by a vtysh of its own; waits some TRIES for others to free the configuration
  tries=0 answer=answer.$SELF
  [ -r "$1" ] || { BAD="$1 is gone; " && return 1; }
  while :; do
    one_transaction "$1" >|"$answer" 2>&1
    code=$?
    BAD= told= lines=
    while IFS= read -r line || [ -n "$line" ]; do
      # Such lines are of the batch, and then of a status that is not 0; or of /etc/frr/vtysh.conf, which is no failure.
      case $line in "line "*) lines="$lines$line; " ;; esac
      judge "$line"
      ! busy || break # every line after it is an unknown command
    done <"$answer"
    tries=$((tries + 1))
    if ! busy || [ "$tries" -gt "$2" ]; then break; fi
    sleep 1
  done
  drop "$answer"
  if [ "$code" != 0 ] && [ -z "$BAD" ]; then BAD=${lines:-"vtysh ended with status $code; "}; fi
  [ -z "$BAD" ]
}

busy() { # whether BAD says that another session has the configuration locked; nothing was applied then
  case $BAD in "% Can't enter config; "*) ;; *) return 1 ;; esac
}

claim() { # STATE ID: takes the undo of a transaction for this process ($SELF); the rename lets one win
  read -r pid since news undos slot <"tx.$1.$2" || return 1
  [ "$1" = undoing ] || mv "tx.$1.$2" "tx.undoing.$2" 2>/dev/null || return 1
  [ ! -e "reverting.$2" ] || mv "reverting.$2" reverted 2>/dev/null
  started "$SELF"
  printf '%s %s %s %s %s\n' "$SELF" "$START" "$news" "$undos" "$slot" >|"tx.undoing.$2"
}

fed() { # ID: waits a while for its feeder's last batch; the feeder says "feeding" before it looks whether to go on
  waits=0
  while { read -r id pid since <feeding; } 2>/dev/null && [ "$id" = "$1" ] && alive "$pid" "$since"; do
    waits=$((waits + 1))
    [ "$waits" -le 60 ] || return
    sleep 1
  done
}

undo() { # ID: applies the undo batches of the transaction that was claimed
  fed "$1"
  owe "$1 undone"
  failed=
  k=0
  while [ "$k" -lt "${undos:-0}" ]; do
    k=$((k + 1))
    from_file "undo.$slot.$k" 20 && continue
    failed="$failed$BAD"
    ! busy || break
  done
  if [ -z "$failed" ]; then
    mv "tx.undoing.$1" tx.last
  else
    printf '%s' "$failed" >|failure
    mv "tx.undoing.$1" "tx.stuck.$1"
    return 1
  fi
}

revert() { # ID: takes back what was applied; leaves it to the checker while that is alive and still applying
  if claim applied "$1"; then
    undo "$1"
  elif read -r pid since rest <"tx.applying.$1" && ! alive "$pid" "$since" && claim applying "$1"; then
    undo "$1"
  fi
} 2>/dev/null

# --- agent ---

lock() { # OWNER STALE FENCE: says "LOCKED N BEFORE", "HELD owner", "WORKING owner" or "BUSY"; STALE=1: an empty lock
  # is dead; FENCE: seconds after which the lock lapses, 0: never
  newest_lock
  OWNER=$1 LOCK= before=$N pid=free since= until=0 who=
  if [ "$N" -gt 0 ]; then
    { read -r pid since until who <"lock.$N"; } 2>/dev/null
    if [ "$pid" = "$$" ] && [ "$since" = "$MINE" ]; then LOCK=$N; fence "$3"; echo "LOCKED $N $N"; return; fi
    if [ -z "$pid" ] && [ "$2" != 1 ]; then echo BUSY; return; fi
    if [ "$pid" != free ] && alive "$pid" "$since" && ! lapsed "$until"; then echo "HELD $who"; return; fi
  fi
  if unfinished && { read -r pid since rest <"$TX"; } 2>/dev/null && alive "$pid" "$since"; then
    echo "WORKING $who"
    return
  fi
  k=$((before + 1))
  lapse "$3"
  set -C
  { printf '%s %s %s %s\n' "$$" "$MINE" "$LAPSE" "$OWNER" >"lock.$k"; } 2>/dev/null || k=
  set +C
  newest_lock
  if [ "$k" != "$N" ]; then echo BUSY; return; fi
  LOCK=$N
  echo "LOCKED $LOCK $before"
}

lapse() { # SECONDS: sets LAPSE to the uptime at which so many seconds have gone by; 0 for 0, and without a clock
  LAPSE=0
  [ "${1:-0}" = 0 ] || { uptime && LAPSE=$((now + $1 * 100)); }
}

lapsed() { # UPTIME: whether that has come; 0 never does
  [ "${1:-0}" != 0 ] && uptime && [ "$now" -ge "$1" ]
}

uptime() { # sets "now" to the router's uptime in hundredths of a second
  { read -r now rest </proc/uptime; } 2>/dev/null && now=${now%.*}${now#*.}
}

fence() { # SECONDS: the lock lapses so much later than now
  locked || return
  lapse "$1"
  printf '%s %s %s %s\n' "$$" "$MINE" "$LAPSE" "$OWNER" >|"lock.$LOCK"
}

locked() { # whether this agent still holds the lock
  newest_lock
  [ -n "$LOCK" ] && [ "$N" = "$LOCK" ] && { read -r pid rest <"lock.$N"; } 2>/dev/null && [ "$pid" = "$$" ]
}

unlock() { # KEEP: frees the lock; tidies up in the background, all but transaction KEEP
  if locked; then
    no_note
    echo free >|"lock.$LOCK"
  fi
  held=${LOCK:-0} LOCK=
  stop_timer
  (tidy "$1" "$held") </dev/null >/dev/null 2>&1 4>&- 5>&- &
}

tidy() { # KEEP HELD: transactions of later locks than HELD are none of its business, however late it comes to them
  newest_lock
  for f in lock.*; do [ "${f#lock.}" -lt "$N" ] && mv "$f" lock-before; done
  for f in tx.applied.* tx.stuck.*; do
    i=${f##*.}
    [ -e "$f" ] && [ "${i%%-*}" -le "$2" ] && [ "$i" != "$1" ] && [ ! -e "pending.$i" ] && [ ! -e "reverting.$i" ] && mv "$f" tx.last
  done
}

lock_state() { # says the newest lock's number and whose it is: "N free", "N mine", "N held"
  newest_lock
  pid=free
  [ "$N" = 0 ] || { read -r pid rest <"lock.$N"; } 2>/dev/null
  case $pid in free) echo "$N free" ;; $$) echo "$N mine" ;; *) echo "$N held" ;; esac
}

show() { # FILE...: like cat, without a process
  for f; do while IFS= read -r line; do printf '%s\n' "$line"; done <"$f"; done
}

new_note() { # MARK: a note that begins with that; fails without the lock, and where this login may not write one
  locked || return
  (
    umask 077
    [ ! -e note ] || [ -w note ] || rm -f note || mv note note-before
    echo "$1" >|note
  ) 2>/dev/null
}

no_note() { # empties it
  [ ! -s note ] || { true >|note; } 2>/dev/null
}

owe() { # ID: notes that the startup configuration has to be written
  { echo "$1" >|unsaved; } 2>/dev/null
}

owed() { # sets OWED to what was noted, "" when there is nothing
  OWED=
  { IFS= read -r OWED <unsaved; } 2>/dev/null
}

saved() { # notes that it was written after "owed" was asked, unless more was done meanwhile
  before=$OWED
  owed
  [ "$OWED" != "$before" ] || { true >|unsaved; } 2>/dev/null # no special builtin, whose failure would end the shell
}

drop() { # FILE...
  rm -f "$@" 2>/dev/null || for f; do : >|"$f"; done
}

commit() { # ID BATCHES UNDOS SLOT SECONDS HOW: starts the application; SECONDS 0: no timer; HOW: show or cat feed the
  # waiting vtysh, file has each batch read by its own
  printf '%s %s %s %s\n' "$CHECKER" "$2" "$3" "$4" >|"tx.applying.$1" || {
    mv "tx.applying.$1" tx.last 2>/dev/null # an empty one would look like a transaction that somebody died in
    echo UNWRITABLE
    return
  }
  # Only after that is written: whoever takes the lock over looks for it afterwards, so that one of us sees the other.
  refusal=
  alive $CHECKER || refusal=DEAD
  { read -r ended <ended; } 2>/dev/null && [ "$ended" = "$CHECKER" ] && refusal=DEAD
  locked || refusal=LOST
  if [ -z "$refusal" ] && lapsed "$LAPSE"; then refusal=ASLEEP; fi
  if [ -n "$refusal" ]; then
    mv "tx.applying.$1" tx.last
    echo "$refusal"
    return
  fi
  if [ "$5" != 0 ]; then
    : >|"pending.$1"
    (timer "$1" "$5") </dev/null >/dev/null 2>&1 4>&- 5>&- &
    TIMER=$! TIMER_START=
    started "$TIMER" && TIMER_START=$START
  fi
  owe "$1"
  # The timer runs before anything is applied: whoever dies from here on leaves nothing that lasts.
  echo "go $1 $2 $4 $5 $6 $MANAGED" >&5
  echo STARTED
}

look() { # N FILE COMMAND...: the waiting vtysh writes its answers there, then the checker says that this was answer N
  echo "look $1 $2 $(($# - 2))" >&5
  shift 2
  printf '%s\n' "$@" >&5
}

timer() { # ID SECONDS: outlives the session
  sleep "$2" &
  s=$!
  trap 'kill $s; exit' TERM
  wait $s
  trap '' TERM
  mv "pending.$1" "reverting.$1" || return
  read -r SELF rest </proc/self/stat
  revert "$1"
  mv "reverting.$1" reverted # where the checker takes it back
  newest_lock
  case ${1%%-*} in "$N") no_note; echo free >|"lock.$N" ;; esac
}

stop_timer() {
  if alive "$TIMER" "$TIMER_START"; then kill "$TIMER" 2>/dev/null; fi
  TIMER=
}

confirm() { # ID: says CONFIRMED, EXPIRED, or "WORKING" while it is still being applied
  if [ -e "tx.applying.$1" ]; then
    echo WORKING
  elif mv "pending.$1" confirmed 2>/dev/null; then
    stop_timer
    echo CONFIRMED
  else
    echo EXPIRED
  fi
}

waiting() { # says "pending" when a commit waits for its confirm, or is being applied or taken back
  for f in pending.*; do [ -e "$f" ] && echo pending && return; done # in the order in which an expiring one moves on
  for f in reverting.*; do [ -e "$f" ] && echo pending && return; done
  ! unfinished || echo pending
}

settled() { # ID: says "SETTLED", "WORKING", or "STUCK reason" of a transaction that is being taken back
  if ! state "$1"; then
    echo SETTLED
  elif [ "$STATE" = stuck ]; then
    printf 'STUCK '
    cat failure
    echo
  else
    echo WORKING
  fi
}

rollback() { # ID: takes back that transaction, pending or not; says GONE, LOST, or as "settled"
  if ! locked; then # the timer frees the lock, too: while it has our number, nobody else has decided
    if [ "$N" = "$LOCK" ]; then settled "$1"; else echo LOST; fi
    return
  fi
  SELF=$$
  stop_timer
  mv "pending.$1" "reverting.$1" 2>/dev/null
  state "$1" || { mv "reverting.$1" reverted 2>/dev/null; echo GONE; return; }
  case $STATE in
    applied | stuck) claim "$STATE" "$1" && undo "$1" ;;
    *) { read -r pid since rest <"$TX"; } 2>/dev/null && ! alive "$pid" "$since" && claim "$STATE" "$1" && undo "$1" ;;
  esac
  settled "$1"
}

recover() { # KEEP: after taking the lock: takes back what a dead session left half done, and what it left pending
  # unless KEEP is 1, which makes that final; says "CLEAN", or "KEPT" when it made one final, and sets CLEAN, when nothing
  CLEAN= kept=
  no_note
  if unfinished; then
    rollback "$ID"
    return
  fi
  for p in pending.*; do
    [ -e "$p" ] || continue
    i=${p##*.}
    [ "$1" = 1 ] && [ -e "tx.applied.$i" ] && mv "$p" confirmed 2>/dev/null && kept=1 && continue
    rollback "$i"
    return
  done
  for p in reverting.*; do
    [ -e "$p" ] || continue
    rollback "${p##*.}"
    return
  done
  if unfinished; then # its timer ended meanwhile, and has taken it through all three
    rollback "$ID"
    return
  fi
  CLEAN=1
  if [ -z "$kept" ]; then echo CLEAN; else echo KEPT; fi
}

# --- feeder, checker ---

feeder() {
  SELF=$$
  printf 'find file-lock\nfind frontend-adapter\nk8s-ecmp-end 0 0 ok\n'
  while read -r word rest; do
    case $word in
      go) feed $rest ;;
      look) relay $rest ;;
    esac
  done
}

relay() { # N FILE COUNT: says so many commands; an unknown one, of which vtysh tells in its answer, parts their answers
  echo "output file $2"
  k=0
  while [ "$k" -lt "$3" ] && IFS= read -r command; do
    k=$((k + 1))
    printf '%s\nk8s-ecmp-next\n' "$command"
  done
  printf 'no output file\nk8s-ecmp-shown %s\n' "$1"
}

feed() { # ID BATCHES SLOT TIMED HOW MANAGED: says the batches, or has each said by a vtysh of its own
  id=$1 news=$2 slot=$3 timed=$4 how=$5 MANAGED=$6
  : >|refusal
  verdict=ok
  k=0
  if [ "$how" != file ]; then
    # The first two lines let vtysh find out, and mend, that a daemon was restarted.
    printf 'configure terminal\nend\n'
    enter
    while [ "$k" -lt "$news" ]; do
      k=$((k + 1))
      framed "$how" "new.$slot.$k"
    done
    leave
  else
    started "$SELF"
    echo "$id $SELF $START" >|feeding
    while [ "$k" -lt "$news" ]; do
      k=$((k + 1))
      BAD="the transaction was taken over; "
      { read -r pid since rest <"tx.applying.$id"; } 2>/dev/null && alive "$pid" "$since" &&
        from_file "new.$slot.$k" 10 && continue
      printf '%s' "$BAD" >|refusal
      verdict=bad
      if [ "$k" = 1 ] && busy; then verdict=busy; fi
      break
    done
    : >|feeding
  fi
  echo "k8s-ecmp-end $id $timed $verdict"
}

checker() {
  SELF=$$
  BAD= told= ready= last= MANAGED=0
  while IFS= read -r line; do
    case $line in
      *"Unknown command: k8s-ecmp-end "*)
        set -- ${line##*k8s-ecmp-end }
        if [ "$1" != 0 ]; then
          settle "$1" "$2" "$3"
        else
          ready=1
          started $$
          shows=0
          [ ! -p /proc/self/fd/6 ] || shows=1
          echo "READY $$ $START $MANAGED $shows" >&4
        fi
        BAD= told= ;;
      *"Unknown command: k8s-ecmp-shown "*)
        printf '\nk8s-ecmp-shown %s\n' "${line##*k8s-ecmp-shown }" >&6
        BAD= told= ;;
      "[OK]") echo "$line" >&6 ;; # `write memory` says it past the output file
      *"(enable)"*file-lock*) MANAGED=1 ;;
      *"(enable)"*frontend-adapter*) [ "$MANAGED" != 0 ] || MANAGED=2 ;;
      "Hint: "* | "") ;;
      *)
        judge "$line"
        last=$line ;;
    esac
  done
  [ -n "$ready" ] || echo "vtysh: $last" >&4
  # vtysh or the feeder ended: what was under way cannot be trusted. First this is said, so that no commit begins later.
  started "$SELF"
  echo "$SELF $START" >|ended
  printf '\nk8s-ecmp-shown LOST\n' >&6
  if unfinished && { read -r pid rest <"$TX"; } 2>/dev/null && [ "$pid" = "$$" ]; then
    BAD="vtysh ended in the middle; "
    settle "$ID" 0 bad
  fi
}

settle() { # ID TIMED VERDICT
  if [ "$3" = ok ] && [ -z "$BAD" ]; then
    if [ "$2" = 0 ] || [ -e "pending.$1" ]; then
      mv "tx.applying.$1" "tx.applied.$1"
      if [ "$2" = 0 ] || [ -e "pending.$1" ]; then
        echo "RESULT $1 ok" >&4
        return
      fi
      revert "$1" # the timer came in between, and one of us two takes it back
    else
      claim applying "$1" && undo "$1"
    fi
    echo "RESULT $1 expired" >&4
    return
  fi
  mv "pending.$1" "reverting.$1" 2>/dev/null
  if [ "$3" = busy ] || { [ "$3" = ok ] && busy; }; then
    mv "tx.applying.$1" tx.last
    mv "reverting.$1" reverted 2>/dev/null
    echo "RESULT $1 busy" >&4
    return
  fi
  reason="$BAD$(cat refusal)"
  if claim applying "$1" && undo "$1"; then
    echo "RESULT $1 undone $reason" >&4
  else
    echo "RESULT $1 stuck $reason undo: $(cat failure)" >&4
  fi
}

case ${1-} in
  feeder | checker) "$1" ;;
  *) started $$; MINE=$START LOCK= TIMER= MANAGED=0 ;;
esac
