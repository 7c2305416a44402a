// One feature of MQTT, done by MQTT.js against a running broker.
//
//   node features.cjs FEATURE --version 3|4|5 --host HOST --port PORT --deadline SECONDS
//                     [--ca FILE --stranger FILE] [--path PATH]
//
// With a path it speaks MQTT in a WebSocket.
//
// Exits with 0 if the broker did what was expected, else with 1, and says on standard error what was
// expected, what came, and which connections had ended. FEATURE is one of the functions at the end;
// tests/clients/main.rs describes them, for they are the same with every client.
'use strict'

const fs = require('node:fs')
const { parseArgs } = require('node:util')
const mqtt = require('mqtt')

const MARKER = 'the marker'
const PAYLOADS = [
  Buffer.from('first'),
  Buffer.alloc(0),
  Buffer.from([0, 255, 254, 32]),
  Buffer.alloc(70000, 'x'),
  ...Array.from({ length: 16 }, (_, number) => Buffer.from(String(number))),
]

const text = { type: 'string' }
const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: { version: text, host: text, port: text, deadline: text, ca: text, stranger: text, path: text },
})
const [feature] = positionals
const version = Number(given.version)

// Connections that ended, as wanted or not.
const incidents = []

function fail(message) {
  process.stderr.write([`mqttjs ${feature}: ${message}`, ...incidents].join('\n  ') + '\n')
  process.exit(1)
}

function shown(value) {
  const json = JSON.stringify(value)
  return json.length <= 300 ? json : `${json.slice(0, 300)}…`
}

function expect(what, expected, got) {
  if (JSON.stringify(expected) !== JSON.stringify(got)) {
    throw new Error(`${what}: expected ${shown(expected)}, got ${shown(got)}`)
  }
}

// A message as it is compared: topic, payload, QoS, retain.
function message(topic, payload, qos, retain) {
  return [topic, Buffer.from(payload).toString('latin1'), qos, retain]
}

let waitingFor = 'nothing'

class Peer {
  constructor(name, { clean = true, will, ca } = {}) {
    this.name = name
    this.arrived = []
    this.waiting = null
    this.options = {
      host: given.host,
      port: Number(given.port),
      protocol: given.path ? (ca ? 'wss' : 'ws') : (ca ? 'mqtts' : 'mqtt'),
      path: given.path,
      protocolVersion: version,
      protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
      clientId: name,
      clean,
      will,
      reconnectPeriod: 0,
      ca: ca && fs.readFileSync(ca),
    }
    if (version === 5 && !clean) this.options.properties = { sessionExpiryInterval: 300 }
  }

  // Connects; `present` is whether the broker must say that it had the session.
  async connect(present = false) {
    waitingFor = `CONNACK for ${this.name}`
    const connack = await new Promise((resolve, reject) => {
      this.client = mqtt.connect(this.options)
      this.client.on('error', reject)
      this.client.on('connect', resolve)
      this.client.on('disconnect', ({ reasonCode }) => {
        incidents.push(`${this.name} was sent DISCONNECT, reason code ${reasonCode}`)
      })
      this.client.on('close', () => {
        incidents.push(`${this.name} was closed`)
        reject(new Error('closed instead of a CONNACK'))
      })
      this.client.on('message', (topic, payload, packet) => {
        this.arrived.push(message(topic, payload, packet.qos, packet.retain))
        if (this.waiting) this.waiting()
      })
    })
    // MQTT 3.1 has no Session Present flag.
    if (version !== 3) expect('Session Present', present, connack.sessionPresent)
    return this
  }

  async subscribe(filter, qos) {
    waitingFor = `SUBACK for ${this.name}`
    const granted = await this.client.subscribeAsync(filter, { qos })
    expect('SUBACK', [qos], granted.map((one) => one.qos))
  }

  // Publishes and waits until the handshake of its QoS is over.
  async publish(topic, payload, { qos = 1, retain = false } = {}) {
    waitingFor = `the end of a QoS ${qos} PUBLISH`
    await this.client.publishAsync(topic, payload, { qos, retain })
  }

  async next() {
    waitingFor = `a message for ${this.name}`
    if (this.arrived.length === 0) await new Promise((resolve) => { this.waiting = resolve })
    this.waiting = null
    return this.arrived.shift()
  }

  async disconnect() {
    waitingFor = `the disconnection of ${this.name}`
    await this.client.endAsync()
  }

  // Ends the connection without a DISCONNECT.
  async vanish() {
    waitingFor = `the disconnection of ${this.name}`
    const closed = new Promise((resolve) => this.client.once('close', resolve))
    this.client.stream.destroy()
    await closed
  }
}

function peer(name, options) {
  return new Peer(name, options).connect()
}

async function transfer(qos) {
  const subscriber = await peer('subscriber')
  await subscriber.subscribe('greenhouse/+/climate', qos)
  const publisher = await peer('publisher')
  for (const payload of PAYLOADS) await publisher.publish('greenhouse/3/climate', payload, { qos })
  for (const payload of PAYLOADS) {
    const expected = message('greenhouse/3/climate', payload, qos, false)
    expect('delivery', expected, await subscriber.next())
  }
  await publisher.publish('greenhouse/3/climate', MARKER, { qos })
  expect('after the last', MARKER, (await subscriber.next())[1])
}

async function retained() {
  const live = await peer('live')
  await live.subscribe('doors/#', 1)
  const publisher = await peer('publisher')
  for (const state of ['open', 'shut']) {
    await publisher.publish('doors/front', state, { retain: true })
    expect('live', message('doors/front', state, 1, false), await live.next())
  }
  const later = await peer('later')
  await later.subscribe('doors/#', 1)
  expect('for the later one', message('doors/front', 'shut', 1, true), await later.next())
  await publisher.publish('doors/front', '', { retain: true })
  expect('live', message('doors/front', '', 1, false), await live.next())
  const latest = await peer('latest')
  await latest.subscribe('doors/#', 1)
  await publisher.publish('doors/back', MARKER)
  expect('once cleared', message('doors/back', MARKER, 1, false), await latest.next())
}

async function will() {
  const watcher = await peer('watcher')
  await watcher.subscribe('status/#', 1)
  const last = (topic, retain) => ({ will: { topic, payload: 'gone', qos: 1, retain } })
  await (await peer('polite', last('status/polite', false))).disconnect()
  await (await peer('lost', last('status/lost', true))).vanish()
  // Also the proof that the polite one's will was not published.
  expect('will', message('status/lost', 'gone', 1, false), await watcher.next())
  const later = await peer('later')
  await later.subscribe('status/#', 1)
  expect('retained will', message('status/lost', 'gone', 1, true), await later.next())
}

async function persistentSession() {
  const sleeper = (clean, present) => new Peer('sleeper', { clean }).connect(present)
  await (await sleeper(true, false)).disconnect()
  const first = await sleeper(false, false)
  await first.subscribe('letters/#', 2)
  await first.disconnect()
  const publisher = await peer('publisher')
  const expected = []
  for (let number = 0; number < 20; number++) {
    const qos = number < 10 ? 1 : 2 // order holds among messages of one QoS
    await publisher.publish(`letters/${number}`, String(number), { qos })
    expected.push(message(`letters/${number}`, String(number), qos, false))
  }
  const second = await sleeper(false, true)
  for (const one of expected) expect('kept for the sleeper', one, await second.next())
  await publisher.publish('letters/last', MARKER, { qos: 2 })
  expect('after the kept ones', MARKER, (await second.next())[1])
  await second.disconnect()
  await (await sleeper(true, false)).disconnect()
  await sleeper(false, false)
}

async function sharedSubscription() {
  const members = [await peer('member-1'), await peer('member-2')]
  for (const member of members) await member.subscribe('$share/workers/jobs/#', 1)
  const publisher = await peer('publisher')
  const jobs = Array.from({ length: 40 }, (_, number) => String(number))
  for (const job of jobs) await publisher.publish('jobs/new', job)
  const taken = () => members.flatMap((member) => member.arrived.map((one) => one[1]))
  waitingFor = `${jobs.length} jobs`
  while (taken().length < jobs.length) {
    await Promise.race(members.map((member) => new Promise((resolve) => { member.waiting = resolve })))
  }
  expect('all jobs, each once', [...jobs].sort(), taken().sort())
  expect('members that worked', [true, true], members.map((member) => member.arrived.length > 0))
}

async function tls() {
  const refusal = await peer('deceived', { ca: given.stranger }).then(() => null, (error) => error)
  if (refusal === null) throw new Error('a certificate of an unknown authority was accepted')
  expect('refusal', true, /CERT|SIGNATURE/.test(refusal.code))
  const guarded = await peer('guarded', { ca: given.ca })
  await guarded.subscribe('safe/#', 1)
  await guarded.publish('safe/box', PAYLOADS[3])
  expect('through TLS', message('safe/box', PAYLOADS[3], 1, false), await guarded.next())
}

const features = {
  qos0: () => transfer(0),
  qos1: () => transfer(1),
  qos2: () => transfer(2),
  retained,
  will,
  persistent_session: persistentSession,
  shared_subscription: sharedSubscription,
  tls,
}

if (!(feature in features)) fail(`no such feature; there are ${Object.keys(features).join(', ')}`)
setTimeout(() => fail(`the deadline passed while waiting for ${waitingFor}`), given.deadline * 1000)
features[feature]().then(() => process.exit(0), (error) => fail(error.message || error.code))
