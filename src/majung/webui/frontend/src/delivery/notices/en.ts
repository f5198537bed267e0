// The words of notices. What a phone shows is in notify/words.py of the server.

export interface Facts {
  store: string;
  number: string;
  minutes: number;
  metres: number;
  reason: string;
  money: string;
  distance: string;
}

/** Title and body. */
type Text = (facts: Facts) => [string, string];

export const en = {
  title: "Notifications",
  open: (k: number) => (k > 0 ? `Notifications, ${k} new` : "Notifications"),
  none: "No notifications yet",
  noneText: "Changes of your orders will be collected here.",
  more: "Show earlier ones",
  sound: "A sound as well while this page is open",
  near: (metres: number) => `Your rider is within ${metres} m`,
  nearLead: "Please get ready.",
  push: {
    lead: {
      order: "Shall we tell you when this page is closed?",
      ride: "Shall we tell you of deliveries when this page is closed?",
      kitchen: "Shall we tell you of orders when this page is closed?",
      admin: "",
    },
    text: {
      order: "When it is cooked, leaves and arrives, on this device. No advertising.",
      ride: "New offers and cancellations, on this device. No advertising.",
      kitchen: "New orders, cancellations and riders at the door, on this device. No advertising.",
      admin: "",
    },
    turnOn: "Notify this device",
    turnOff: "Stop",
    on: "This device gets notifications.",
    denied: "Notifications are blocked in this browser.",
    deniedText: "Choose the lock (or settings) icon left of the address → Notifications → Allow, then reload this page.",
    unsupported: "This browser cannot notify you once the page is closed.",
    install: "On an iPhone: share button → “Add to Home Screen”, then open it from there.",
    insecure: "Only over a secure connection (HTTPS) can we notify you once the page is closed.",
    failed: "Notifications could not be turned on. Please try again in a moment.",
  },
  kinds: {
    received: ({ store }) => ["Order received", `${store} is looking at your order.`],
    cooking: ({ store, minutes }) => ["Being cooked", `${store} · ready in about ${minutes} min.`],
    ready: ({ store }) => ["The food is ready", `${store} · waiting to be picked up.`],
    picked_up: ({ store }) => ["Picked up", `${store} · the rider leaves soon.`],
    delivering: ({ store }) => ["On the way", `${store} · the rider is coming to you.`],
    arriving: ({ store, metres }) => ["Your rider is almost there", `Within ${metres} m. Get ready for your food from ${store}.`],
    delivered: ({ store }) => ["Delivered", `${store} · enjoy your meal!`],
    rejected: ({ store, reason }) => ["The store could not take the order", store + reason],
    cancelled: ({ store, reason }) => ["The order was cancelled", store + reason],
    failed: ({ store, reason }) => ["The food could not be handed over", store + reason],
    new_order: ({ money }) => ["New order", `${money} · please accept it.`],
    rider_assigned: ({ number }) => ["A rider is assigned", `Order ${number}`],
    rider_left: ({ number }) => ["Looking for another rider", `Order ${number}`],
    rider_at_store: ({ number }) => ["The rider is at your store", `Order ${number}`],
    offer: ({ store, distance, money }) => ["New delivery offer", `${store} · ${distance} · ${money}`],
    assigned: ({ store }) => ["An order was assigned to you", `${store} · by the administrator.`],
    taken_away: ({ store }) => ["The order went to another rider", `${store} · you need not carry it any more.`],
  } satisfies Record<string, Text> as Record<string, Text>,
};

export type NoticeWords = typeof en;
