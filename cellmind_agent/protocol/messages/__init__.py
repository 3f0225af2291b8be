"""Everything that agents and users say to each other: frozen values, one file a conversation. Knows no bytes.

`from cellmind_agent.protocol import messages as m` gives every message under its name on the wire. Requests are
imperative, answers and events nouns or past tense. `declarations` explains how a request is declared.
"""

from cellmind_agent.protocol.messages.answers import *
from cellmind_agent.protocol.messages.blobs import *
from cellmind_agent.protocol.messages.declarations import *
from cellmind_agent.protocol.messages.diagnosis import *
from cellmind_agent.protocol.messages.endings import *
from cellmind_agent.protocol.messages.links import *
from cellmind_agent.protocol.messages.measuring import *
from cellmind_agent.protocol.messages.membership import *
from cellmind_agent.protocol.messages.rounds import *
from cellmind_agent.protocol.messages.runs import *
from cellmind_agent.protocol.messages.stories import *
from cellmind_agent.protocol.messages.tunnels import *
