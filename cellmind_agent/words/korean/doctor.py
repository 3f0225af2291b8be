"""Korean of the checks of `cellmindctl doctor`."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {
    "{count} MB free": "빈 공간 {count} MB",
    "{state}; tried {addresses}": "{state}. 시도한 주소: {addresses}",
    "{state}; no address of it is known": "{state}. 알려진 주소가 없습니다",
    "run ./install again, without --no-train": "--no-train 없이 ./install을 다시 실행하십시오",
    "cellmind-agent --interface NAME, or cellmindctl connect HOST:PORT": (
        "cellmind-agent --interface NAME 또는 cellmindctl connect HOST:PORT"
    ),
    "{count} devices are online and mDNS hears none: multicast is blocked (AP isolation, firewall)": (
        "기기 {count}대가 온라인인데 mDNS로는 들리지 않습니다. 멀티캐스트가 막혀 있습니다 (AP 격리, 방화벽)"
    ),
    "allow UDP port 5353, or leave it: known addresses work, and new devices join with `join --at`": (
        "UDP 포트 5353을 허용하거나 그대로 두십시오. 아는 주소로는 연결되고, 새 기기는 `join --at`으로 참가합니다"
    ),
    "{home} is private": "{home} 폴더는 다른 사용자에게 닫혀 있습니다",
    "{home} is open to others": "{home} 폴더가 다른 사용자에게 열려 있습니다",
    "chmod 700 {home}": "chmod 700 {home}",
    "{name} has CellMind {other}, this device {own}": "{name} 기기의 CellMind는 {other}, 이 기기는 {own}입니다",
    "cellmindctl update, on the older one": "더 오래된 기기에서 cellmindctl update",
    "wake it, or if its address changed: cellmindctl connect HOST:PORT": (
        "깨우십시오. 주소가 바뀌었다면: cellmindctl connect HOST:PORT"
    ),
    "serves on port {port}": "포트 {port}에서 응답합니다",
    "cellmindctl models rm NAME, or free some space": "cellmindctl models rm NAME을 실행하거나 공간을 비우십시오",
    "the clock was never set": "시계가 맞춰진 적이 없습니다",
    "turn on network time": "네트워크 시간을 켜십시오",
    "not installed: this device can neither train nor answer": "설치되어 있지 않아 이 기기는 학습도 답변도 할 수 없습니다",
    "switched off by --no-mdns": "--no-mdns로 꺼져 있습니다",
    "no network interface looks like a local network": "로컬 네트워크로 보이는 인터페이스가 없습니다",
    "this cell has one device": "이 셀에는 기기가 하나입니다",
    "cellmindctl invite, then join on another": "cellmindctl invite를 실행하고 다른 기기에서 참가하십시오",
    "online, found by {how}": "온라인, 찾은 방법: {how}",
    "on {one}: cellmindctl connect HOST:PORT, as {other} shows it under `cellmindctl peers`": (
        "{one}에서: cellmindctl connect HOST:PORT ({other}의 `cellmindctl peers`에 나오는 주소)"
    ),
    ("neither reaches the other at {place}: the access point keeps its clients apart (AP isolation), or firewalls"): (
        "{place}에서 서로 연결되지 않습니다. 공유기가 기기들을 떼어 놓거나(AP 격리) 방화벽이 막습니다"
    ),
    "switch client isolation off in the router, or on both: sudo ufw allow {port}/tcp": (
        "공유기의 클라이언트 격리를 끄거나, 두 기기에서: sudo ufw allow {port}/tcp"
    ),
    "{other} reaches {one}, but not the other way: a firewall on {other} lets nothing in at port {port}": (
        "{other}에서 {one}(으)로는 연결되지만 반대는 안 됩니다. {other}의 방화벽이 포트 {port}을(를) 막고 있습니다"
    ),
    "on {other}: sudo ufw allow {port}/tcp (runs work without it: {other} dials out)": (
        "{other}에서: sudo ufw allow {port}/tcp (없어도 학습은 됩니다. {other} 기기가 먼저 연결합니다)"
    ),
    "{place} is on another network than {one}: a guest Wi-Fi, a VPN, or an outdated address": (
        "{place} 주소는 {one}과(와) 다른 네트워크에 있습니다. 손님용 Wi-Fi, VPN, 또는 오래된 주소입니다"
    ),
    "nobody answers at {place}: {other} is off or asleep, or has another address now": (
        "{place}에서 답이 없습니다. {other} 기기가 꺼졌거나 잠들었거나 주소가 바뀌었습니다"
    ),
    "nothing listens at {place}: the agent of {other} has stopped, or listens on another port now": (
        "{place}에서 기다리는 프로그램이 없습니다. {other}의 에이전트가 멈췄거나 포트가 바뀌었습니다"
    ),
    "another device is at {place}: the address of {other} has changed": "{place}에는 다른 기기가 있습니다. {other}의 주소가 바뀌었습니다",
    "it has not been here for {days} days": "{days}일 동안 보이지 않았습니다",
    "if you do not have it any more: cellmindctl forget {name}": "이제 쓰지 않는 기기라면: cellmindctl forget {name}",
    "every change of the keyring was by right": "키링은 권한이 있는 기기만 바꾸었습니다",
    "if this device is lost or stolen, nobody can remove it from the cell": (
        "이 기기를 잃어버리거나 도둑맞으면 아무도 이 기기를 셀에서 제거할 수 없습니다"
    ),
    "write the recovery code down: cellmindctl recovery": "복구 코드를 종이에 적어 두십시오: cellmindctl recovery",
    "if that was not you, remove it: cellmindctl forget DEVICE": "직접 한 일이 아니면 제거하십시오: cellmindctl forget DEVICE",
    "it is removed already; watch for devices that you do not know: cellmindctl peers": (
        "이미 제거된 기기입니다. 모르는 기기가 없는지 보십시오: cellmindctl peers"
    ),
    "{other} does not know the key of {one}: their keyrings differ": "{other} 기기가 {one}의 키를 모릅니다. 두 키링이 다릅니다",
    "on {name}: turn on network time (timedatectl set-ntp true)": "{name}에서: 네트워크 시간을 켜십시오 (timedatectl set-ntp true)",
    "the clock of {name} is {seconds} s behind this device's": "{name}의 시계가 이 기기보다 {seconds}초 늦습니다",
    "the clock of {name} is {seconds} s ahead of this device's": "{name}의 시계가 이 기기보다 {seconds}초 빠릅니다",
    "{one} could not say": "{one} 기기가 확인하지 못했습니다",
    "bring both into one network, or {connect}": "두 기기를 같은 네트워크에 두거나, {connect}",
    "wake {other}, or {connect}": "{other} 기기를 깨우거나, {connect}",
    "at {place}, {milliseconds} ms": "{place}, {milliseconds} ms",
    "{one} knows no address of {other}": "{one} 기기가 {other}의 주소를 모릅니다",
    "on an owner's device: cellmindctl invite": "소유자의 기기에서: cellmindctl invite",
}
