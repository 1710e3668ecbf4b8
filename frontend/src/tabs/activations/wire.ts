// What the server says to this tab.

import type { Schemas } from "../../api/types";

export type Channels = Schemas["Channels"];
export type Channel = Schemas["Channel"];
export type Top = Schemas["TopImagesOut"];
export type TopPicture = Schemas["TopImage"];
export type Order = Channels["order"];
