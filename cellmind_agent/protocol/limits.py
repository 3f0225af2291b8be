"""Every limit, port and time-out of the agent, each with its reason. No other file of the agent holds such a number."""

from __future__ import annotations

from typing import Final

PROTOCOL_VERSION: Final = 1  # of the envelope; a device refuses every other
SERVICE_COMMAND_SECONDS: Final = 60.0  # systemd waits for READY=1, on a slow phone too
DEFAULT_PORT: Final = 7420  # below the ephemeral ports of every system (Linux: from 32768)
SERVICE_TYPE: Final = "_cellmind._tcp.local."  # what mDNS announces and browses for

# -- what one peer may make us hold -----------------------------------------------------------------------------
CHUNK_BYTES: Final = 256 * 1024  # a blob's chunk: small enough that control messages slip between two on slow Wi-Fi
MAX_FRAME_BYTES: Final = 1024 * 1024  # libzmq's MAXMSGSIZE; without it a stranger makes us hold 300 MB
MAX_SMALL_REQUEST_BYTES: Final = 64 * 1024  # no `small` request comes near; 256 of them at once take 16 MiB, not 256
MAX_LIST_ITEMS: Final = 4096  # in one list or map of a message: the shards of a run, the keys of a store
MAX_WAITING_ANSWERS: Final = 4096  # of one exchange that nobody reads; then the exchange fails
MAX_REFUSAL_MESSAGE_CHARACTERS: Final = 2000  # a screen
MAX_REFUSAL_HINT_CHARACTERS: Final = 500  # a few lines
MAX_FRAMES: Final = 2  # a message is one frame, a piece of a tunnel two; MAXMSGSIZE is per frame, so others are dropped
TUNNEL_PIECE_BYTES: Final = 256 * 1024  # larger ones gain nothing (measured: tests/bench) and wait longer on Wi-Fi
TUNNEL_WINDOW_BYTES: Final = 4 * 1024 * 1024  # a gigabit over 30 ms; what a stream may make either side hold
MAX_KEYRING_ENTRIES: Final = 1000  # a class of 30 devices, each replaced 30 times
MAX_REQUESTS_PER_CALLER: Final = 256  # rendezvous waits of a large roster stay below it; a flood does not
REMEMBERED_RUN_EVENTS: Final = 2000  # of a run, for watchers that come late
REMEMBERED_RUNS: Final = 8  # that this agent led and that are over: late watchers still see how they ended
MAX_STORE_BYTES: Final = 1024 * 1024  # gloo's rendezvous needs about 200 bytes a rank and key
MAX_PROMPT_CHARACTERS: Final = 100_000  # 300 KB in Korean, far below a frame
MAX_NAME_CHARACTERS: Final = 40  # a column of a table on a screen of 80
MAX_LABEL_CHARACTERS: Final = 200  # of text from outside in a line that people read
MAX_TXT_VALUE_BYTES: Final = 64  # of an announcement; a key in Z85 has 40
MAX_LOG_LINE_CHARACTERS: Final = 2000  # a screen
# A trainer's line holds at most one value of a store; eight times that, since the trainer is our own child.
MAX_CHILD_LINE_BYTES: Final = 8 * 1024 * 1024
STRANGERS_AT_ONCE: Final = 100  # connections that have not said whose they are; a class that starts up stays below
STRANGERS_PER_SECOND: Final = 20  # a handshake costs about a millisecond, so a flood costs 2 % of the time
SHUT_SECONDS: Final = 1.0  # how long nobody new gets in, where the addresses of a flood are not known
BAN_SECONDS: Final = 10.0  # how long one address gets no packet through to the port
HIGH_WATER_MARK: Final = 1000  # messages in one queue of libzmq: its default, stated because floods are bounded by it
MAX_MESSAGES_PER_TURN: Final = 16  # read from one socket before the event loop's other work has its turn
MAX_BANNED_ADDRESSES: Final = 100  # the jumps of a packet filter reach 255 instructions
MAX_STRANGERS_SEEN: Final = 64  # unpaired devices kept in memory; anybody on the network can announce thousands
MAX_ADDRESSES_PER_MEMBER: Final = 8  # a laptop has three or four; forged announcements must not push out good ones
MAX_CONTINUATION_CHARACTERS: Final = 300  # of a prompt and of what follows it: 24 tokens are about a line
MAX_ROSTER_CHANGES: Final = 128  # of a run, in the answer of one device: the last ones
MAX_PERIOD_MEMBERS: Final = 2400  # in the answer of one device: 600 rosters of four fill less than half a frame
MAX_CHECKPOINT_STORIES: Final = 64  # of a run, kept and sent: all of them together stay below half a frame
MAX_ROUND_STEPS: Final = 1000  # a list of them goes to the trainer
MAX_LOCAL_ROUND_STEPS: Final = 50_000  # of all members: four figures of each are added up, 1.6 MB
MAX_EVALUATIONS: Final = 50  # of a run: more points of a curve tell a person nothing
MAX_DIALS: Final = 8  # addresses of one member dialled at once: all that are kept
MAX_EAGER_DIALS: Final = 5  # after so many failures, nothing makes us dial more often than REDIAL_FIRST_SECONDS
MAX_NAMEPLATE: Final = 99  # the public number of a join code: two digits are easy to say, and few invitations are open
NUM_CODE_WORDS: Final = 3  # of 256: 24 secret bits, of which INVITATION_TRIES guesses find one in 5.6 million
MAX_INVITERS_TRIED: Final = 3  # with one nameplate of 99; forged announcements must not keep a joiner busy
MAX_CHUNK_FAILURES: Final = 8  # in a row, two for each request under way: then a holder of a blob is given up

# -- time, in seconds ---------------------------------------------------------------------------------------------
HANDSHAKE_SECONDS: Final = 2.5  # libzmq's HANDSHAKE_IVL: a silent stranger is dropped after it
DIAL_SECONDS: Final = 2.5  # one address, one try
REQUEST_SECONDS: Final = 10.0  # one answer that needs no long work, from a busy phone over Wi-Fi
CLIENT_OPEN_SECONDS: Final = 3.0  # an agent on loopback that does not answer by then does not run
CLIENT_PULSE_SECONDS: Final = 5.0  # while a stream is silent, the command line asks its agent whether it still lives
LINGER_SECONDS: Final = 0.2  # how long a closing socket may still send its last messages
SEND_SECONDS: Final = 10.0  # a receiver that takes nothing for so long is cut off
HEARTBEAT_SECONDS: Final = 2.0  # a phone's radio wakes for each
RUN_HEARTBEAT_SECONDS: Final = 1.0  # during a run: with the floor below, a frozen member is noticed within 4 s
PATIENCE_FLOOR_SECONDS: Final = 2.5  # a busy machine with few cores answers late; and a run must notice within 5 s
PATIENCE_CEILING_SECONDS: Final = 10.0  # however slow the link has been: then the device is asleep
CLOCKS_SECONDS: Final = 1.0  # how often the clocks are compared, to notice that this machine slept
RATE_PROBE_SECONDS: Final = 1.0  # of sending, while all devices send at once
PAIR_PROBE_SECONDS: Final = 0.5  # of sending from one device to another, while the others are silent
MAX_RATE_PROBE_SECONDS: Final = 2.0  # that a member may ask for
MAX_MEASURED_PAIRS: Final = 20  # ten seconds; of more devices only those who send to the next one are measured
SPEED_PROBE_SECONDS: Final = 6.0  # of training, after torch is loaded: about ten seconds in all
MAX_SPEED_PROBE_SECONDS: Final = 30.0  # that a member may ask for
RATE_ANSWER_SECONDS: Final = 15.0  # for the answer; a slow network delays it
RATE_FIRST_BYTES: Final = 16 * 1024  # the first piece that is sent: 0.1 s at 1 Mbit/s
RATE_PIECE_SECONDS: Final = 0.2  # a larger piece would delay heartbeats, and shows no more
BUS_SECONDS: Final = 2.0  # for an answer of systemd-logind, which is on this machine
SUSPEND_SECONDS: Final = 30.0  # a machine that is awake so long after its sleep was announced will not sleep
AWAY_SECONDS: Final = 5.0  # a shorter pause may be a busy machine; after it the others have given up on us
GONE_SECONDS: Final = 15 * 60.0  # asleep for longer: gone
REMEMBERED_ROUND_TRIPS: Final = 30  # a minute of heartbeats: patience follows the link as it is now
MIN_WAIT_SECONDS: Final = 0.01  # when patience is nearly over: a shorter wait would be a busy loop
SILENCE_CHECK_SECONDS: Final = 0.25  # how often a silence is measured, far below PATIENCE_FLOOR_SECONDS
OWN_DIAL_GRACE_SECONDS: Final = 0.3  # a peer has dialled us: how much longer our own dialling may take
GOODBYE_SECONDS: Final = 1.0  # the last message to a peer; a peer that does not take it must not delay us
KEYRING_OFFER_SECONDS: Final = 3.0  # a member that does not take a new keyring in time gets it with its next link
FIRST_MESSAGE_SECONDS: Final = 0.5  # a client speaks at once; after this, a silent connection of an unknown key is cut
GATE_PROOF_SECONDS: Final = 10.0  # the gate's proof is one handshake on loopback, on a machine that may be busy
ZMQ_HEARTBEAT_SECONDS: Final = 5.0  # libzmq's own, under ours: finds dead TCP connections that nobody uses
ZMQ_HEARTBEAT_TIMEOUT_SECONDS: Final = 15.0  # three of its heartbeats
SEND_RETRY_FIRST_SECONDS: Final = 0.001  # a full queue of a fast link drains within a millisecond
SEND_RETRY_LAST_SECONDS: Final = 0.05  # a slow link takes a message or two in that time
STREAM_RETRY_SECONDS: Final = 0.005  # a tunnel's channel is full: a gigabit link drains 600 KB in that time
REDIAL_FIRST_SECONDS: Final = 0.5  # a link is usually back at once
REDIAL_LAST_SECONDS: Final = 30.0  # for a device that is off; when it announces itself, it is dialled at once
POWER_SECONDS: Final = 60.0  # how often a phone asks for its battery: each time wakes another app
POWER_QUERY_SECONDS: Final = 30.0  # slow phones need ten; without the app Termux:API there is never an answer
VITALS_SECONDS: Final = 5.0  # how often figures are read; a change is pushed, the same figure is not
FREE_SECONDS: Final = 2.0  # a run is over when its members are free for the next one, or after that time
FREE_LOOK_SECONDS: Final = 0.1  # how soon a device says that it is free
RUN_VITALS_SECONDS: Final = 1.0  # during a run: the figures that people watch
ACCELERATOR_QUERY_SECONDS: Final = 10.0  # nvidia-smi takes seconds when no program holds the driver
WIDEN_FIRST_SECONDS: Final = 1.0  # a member is missing: how soon it is searched for beyond multicast
WIDEN_LAST_SECONDS: Final = 60.0  # a few packets a minute, for a device that may be off for days
RESOLVE_SECONDS: Final = 3.0  # for one mDNS record; a second answer is expected within a second
UNICAST_SECONDS: Final = 2.0  # how long answers to one unicast question are waited for
CLOCK_SLACK_SECONDS: Final = 60.0  # clocks further apart make logs and invitations hard to understand
INVITATION_SECONDS: Final = 600.0  # to walk to the other device and type; a code that somebody finds later is void
MIN_INVITATION_SECONDS: Final = 1.0  # a shorter invitation is over before anybody can type
INVITER_SEARCH_SECONDS: Final = 6.0  # news of an open invitation takes mDNS a second or two
INVITATION_TRIES: Final = 3  # for typing errors; a guess at 24 bits then has a chance of 1 in 5.6 million
CHUNK_SECONDS: Final = 60.0  # one chunk, or the hashes of a large blob, over slow Wi-Fi shared with others
CHUNKS_AHEAD: Final = 4  # requests under way with one holder: a megabyte fills a home network
HOLDERS_SECONDS: Final = 4.0  # a device that does not list its chunks in time is not asked for any
STORE_WAIT_SECONDS: Final = 3600.0  # the longest that a trainer may wait for a key of another one
HOLDERS_REFRESH_SECONDS: Final = 0.25  # how often holders of a blob are asked what they have by now
RENDEZVOUS_SECONDS: Final = 60.0  # a phone loads torch in half a minute
PROBE_SECONDS: Final = 90.0  # the same, and two ranks on loopback that may hang
PREPARE_SECONDS: Final = 900.0  # fetching all blobs over slow Wi-Fi, then importing torch
# The round that is under way is given up first, and the trainer of a slow phone may be in the middle of a step.
GROUP_SECONDS: Final = 2 * RENDEZVOUS_SECONDS
ROUND_SECONDS: Final = 10.0  # about one round: the work that a lost member costs, and the time between comparisons
CALM_SECONDS: Final = 600.0  # a run that has lost nobody is expected to lose a device in that time
LEAST_COMMIT_SECONDS: Final = 0.1  # to hash and copy the weights, beside what the leader sees of a commit
LONG_AVERAGE_SECONDS: Final = 3.0  # in eight bits: then the changes of local rounds travel in four (model/rounds/local)
SIMULATED_ANSWER_SECONDS: Final = 0.01  # of a message and its answer on Wi-Fi, in a simulation
USUAL_COMMIT_SECONDS: Final = 0.15  # of a round, for a forecast: all compare hashes, and write down that it counts
LOCAL_ROUND_SECONDS: Final = 60.0  # of training on one's own: a longer round would lose more when it is done again
LONG_EXCHANGE_SECONDS: Final = 0.5  # of the gradients of a step, while no device has a measured speed
EXCHANGE_SHARE: Final = 0.25  # of the time of a local round: longer rounds learn less from each token
LEAST_GRACE_SECONDS: Final = 1.0  # that members of a local round wait for a step of another one before it is cut
LEAST_ROUND_SECONDS: Final = 1.0  # however many devices are lost, unless a person has asked for shorter rounds
ALONE_SECONDS: Final = 4.0  # all others fell silent: perhaps we slept, and the links are back within that time
SUCCESSION_SECONDS: Final = 2.0  # how much later than the one before it a member takes the place of a lost leader
CLAIM_SECONDS: Final = 8.0  # how long a new leader asks members that still see the old one
CLAIM_PAUSE_SECONDS: Final = 0.5
SUCCESSION_CHECK_SECONDS: Final = 0.25  # how often a member without a leader looks who is online
EXPECTED_LEADER_SECONDS: Final = 10.0  # a leader that was named by the one before it takes over within that time
ORPHAN_SECONDS: Final = 60.0  # how long a member without a leader keeps its trainer
RESUME_FIRST_SECONDS: Final = 10.0  # an agent that starts has its links by then
RESUME_RETRY_SECONDS: Final = 15.0
RESUME_TRIES: Final = 20  # five minutes: after a power cut the slowest device has started by then
RECRUIT_SECONDS: Final = 2.0  # how often the leader looks for devices that could take part
MAX_RECRUITINGS: Final = 4  # of one device in a run, before it has trained a round again
QUESTION_SECONDS: Final = PATIENCE_CEILING_SECONDS  # a suspected member that does not answer is lost
ROUND_PATIENCE_SECONDS: Final = 600.0  # a round that takes longer than this is stuck
# A paused trainer takes one step after each rest. The other ranks wait for it in gloo, for RENDEZVOUS_SECONDS at most.
REST_SECONDS: Final = RENDEZVOUS_SECONDS / 3
PRESSURE_SECONDS: Final = 2.0  # how often a trainer's device is looked at: a person notices a slow program after that
CHECKPOINT_SECONDS: Final = 30.0  # the work that a power cut on every device at once may cost
PROGRESS_SECONDS: Final = 0.5  # watchers see a run move; more often would only fill their links
MAX_CUTS: Final = 8  # rounds in a row in which a member was cut in its first step: then the others go on without it
MAX_BROKEN_GROUPS: Final = 3  # without a lost member in between: then the fault is not one that trying again heals
DISMISS_SECONDS: Final = 10.0  # a lost member must not keep the end of a run waiting
LEADER_CLOSE_SECONDS: Final = 5.0  # an agent that shuts down gives its runs so long to end in good order
STOP_ASK_SECONDS: Final = 3.0  # a child exits when it reads the request; one that is stuck is terminated then
STOP_TERMINATE_SECONDS: Final = 2.0  # then it is killed: checkpoints are safe, so it has nothing to save
EXIT_OUTPUT_SECONDS: Final = 2.0  # a child has ended: how long its pipes may still hold output
LIST_MODELS_SECONDS: Final = 3.0  # a device that does not list its models in time is not asked to answer
SERVE_IDLE_SECONDS: Final = 600.0  # then an idle answering process ends, and frees its memory
LOG_FOLLOW_SECONDS: Final = 0.3  # log lines are collected for so long and sent together
AGENT_STOP_SECONDS: Final = 10.0  # for an orderly end after SIGTERM; systemd kills after 15
INTERFACE_POLL_SECONDS: Final = 10.0  # how soon mDNS follows the machine to another network

# -- heat and battery, of a device that trains -------------------------------------------------------------------------
HOT_CELSIUS: Final = 90.0  # laptops throttle from about here, so half the threads cost less than half the speed
VERY_HOT_CELSIUS: Final = 95.0  # near the point at which processors switch themselves off
HOT_BATTERY_CELSIUS: Final = 40.0  # a battery ages about twice as fast from here
VERY_HOT_BATTERY_CELSIUS: Final = 45.0  # phones stop charging here
COOLER_CELSIUS: Final = 5.0  # how far below its limit a temperature must fall before that limit ends
LOW_BATTERY_PERCENT: Final = 20.0  # of a device that is not plugged in: the rest belongs to its person
CHARGED_BATTERY_PERCENT: Final = 25.0  # a charger that is pulled out and in must not start and stop training
CALM_READINGS: Final = 5  # others must leave a core free for so many readings before training takes it back

# -- disk ----------------------------------------------------------------------------------------------------------
FREE_SPACE_FLOOR_BYTES: Final = 256 * 1024 * 1024  # we stop before the person's own programs fail
CHECKPOINTS_KEPT: Final = 2  # the newest may be torn by a power cut that lies about fsync
LOW_SPACE_BYTES: Final = 1024 * 1024 * 1024  # `doctor` warns below it, long before the floor stops anything
READ_BYTES: Final = 1024 * 1024  # one read of a file that is hashed
GARBAGE_SECONDS: Final = 3600.0  # how often blobs without references are removed, and how old such a blob must be
GARBAGE_RETRY_SECONDS: Final = 60.0  # a run is under way: how soon to try again
LOG_FILE_BYTES: Final = 2 * 1024 * 1024  # with LOG_FILES_KEPT older files: 8 MB of a phone at most
LOG_FILES_KEPT: Final = 3  # older files, beside the present one
MAX_LOG_TAIL_LINES: Final = 10_000  # of one request
LOG_LINES_PER_MESSAGE: Final = 200  # lines of usual length stay far below MAX_FRAME_BYTES
