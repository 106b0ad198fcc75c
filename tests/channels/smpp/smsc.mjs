// An SMSC by npm's `smpp`: accepts every submit_sm, prints what it read as a JSON line, and sends a receipt.
// Given a certificate and key file, it speaks TLS.
import { createRequire } from "node:module";

const smpp = createRequire(process.argv[2] + "/")("smpp");
let messages = 0;

const server = smpp.createServer((session) => {
  session.on("error", () => {});
  session.on("bind_transceiver", (pdu) => {
    const isKnown = pdu.system_id === "esme1" && pdu.password === "secret08";
    session.send(pdu.response(isKnown ? { system_id: "smsc" } : { command_status: smpp.ESME_RINVPASWD }));
  });
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("unbind", (pdu) => {
    session.send(pdu.response());
    session.close();
  });
  session.on("submit_sm", (pdu) => {
    const id = (++messages).toString(16).padStart(8, "0").toUpperCase();
    const body = pdu.short_message;
    const payload = pdu.message_payload;
    console.log(
      JSON.stringify({
        from: [pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr],
        to: [pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr],
        text: payload ? payload.message : body.message,
        udh: body.udh ? body.udh.map((element) => Buffer.from(element).toString("hex")) : [],
        sar: [pdu.sar_total_segments ?? 0, pdu.sar_segment_seqnum ?? 0],
        coding: pdu.data_coding,
        registered: pdu.registered_delivery,
      }),
    );
    session.send(pdu.response({ message_id: id }));
    session.deliver_sm({
      source_addr: pdu.destination_addr,
      destination_addr: pdu.source_addr,
      esm_class: 4,
      receipted_message_id: id,
      message_state: 2,
      short_message: `id:${id} sub:001 dlvrd:001 submit date:2611230400 done date:2611230400 stat:DELIVRD err:000 text:`,
    }, (answer) => console.log(JSON.stringify({ acknowledged: id, status: answer.command_status })));
  });
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
